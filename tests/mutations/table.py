"""The mutations: what each takes out, and which tests are to notice, the likeliest first.

A mutation is a piece of code that occurs once in its file, and what takes its place. Of a condition that DynamoDB is
given, all values must be used: it is made to hold always, and stays where it is.
"""

from dataclasses import dataclass

_ADAPTERS = ("integration/test_adapters.py", "integration/test_publishing.py", "integration/test_upkeep.py")
_CORRUPT = ("integration/test_unreadable.py",)
_INTERRUPTED = ("integration/test_interruptions.py",)
_PLAYED = ("unit/test_explorer.py", "unit/test_schedules.py")


@dataclass(frozen=True)
class Mutation:
    """One safeguard less."""

    what: str
    file: str  # below src/conductor_loop
    old: str
    new: str
    tests: tuple[str, ...]  # below tests

    def applied(self, text: str) -> str:
        assert text.count(self.old) == 1, f"{self.what}: {text.count(self.old)} times in {self.file}: {self.old!r}"
        return text.replace(self.old, self.new)


def _always(what: str, clause: str, within: str = "{}", tests: tuple[str, ...] = _ADAPTERS) -> Mutation:
    """Make a clause of a condition hold always; ``within`` is enough of what is around it to find it."""
    new = within.replace("{}", f"({clause} OR attribute_exists(pk) OR attribute_not_exists(pk))")
    return Mutation(what, "aws/dynamodb.py", within.replace("{}", clause), new, tests)


def _upkeep(what: str, old: str, new: str) -> Mutation:
    tests = ("integration/test_upkeep.py", "integration/test_adapters.py", *_CORRUPT)
    return Mutation(what, "aws/upkeep.py", old, new, tests)


def _bucket(what: str, old: str, new: str) -> Mutation:
    return Mutation(what, "aws/s3.py", old, new, (*_ADAPTERS, "integration/test_archives.py", *_INTERRUPTED))


def _story(what: str, file: str, old: str, new: str) -> Mutation:
    return Mutation(what, file, old, new, _PLAYED)


def _settling(what: str, *order: str) -> Mutation:
    was = (_STATUS, _LIVE, _ARCHIVE, _REMOVE)
    return _story(f"settling: the input is removed after {what}", "settling.py", "".join(was), "".join(order))


_STATUS = "    name = app.bucket.put_status(handoff, file, outcome.document, final=True)\n"
_LIVE = "    live.write(app, handoff, outcome, component)\n"
_ARCHIVE = """    try:
        app.bucket.archive(handoff, f"{outcome.archive}/{name}")
    except Gone:
        return Answer.SETTLED  # it is removed last, so somebody has settled it just now
    except Illegible:
        return Answer.LEFT  # as its status says: nothing is lost
"""
_REMOVE = "    app.bucket.remove(handoff)\n"
_SEND = "    app.queues.send(replace(message, handoff=handoff, rev=1), intent.namespace, delay_seconds)\n"
_QUEUED = """    now = app.clock()
    refusal = app.state.register(handoff, State.QUEUED, now, beside=beside)
"""

TABLE = [
    _always("row: it is new", "attribute_not_exists(pk)", '_ABSENT = "{}"'),
    _always("row: its state is as seen", "#state = :seen_state"),
    _always("row: its attempt is as seen", "attempt = :seen_attempt"),
    _always("row: it is held by no worker", "held_until <= :now", 'AND {} AND "\n    "(attribute_not_exists(reserved)'),
    _always("row: its revision is as seen", "rev = :seen_rev"),
    _always("row: its reserved numbers are as seen", "reserved = :seen_reserved"),
    _always("row: its order is as seen", "handoff_order = :seen_order"),
    _always("row: it has no order, as seen", "attribute_not_exists(handoff_order)"),
    Mutation(
        "target: it is free",
        "aws/dynamodb.py",
        '_TARGET_FREE = "(attribute_not_exists(held_until) OR',
        '_TARGET_FREE = "(attribute_not_exists(held_until) OR attribute_exists(pk) OR',
        _ADAPTERS,
    ),
    _always("target: its next number is as read", "reserved = :number"),
    _always(
        "target: its generation is as read", "generation = :generation", 'attribute_not_exists(generation) OR {})"'
    ),
    Mutation(
        "target: nothing newer was applied",
        "aws/dynamodb.py",
        '_NOTHING_NEWER = "(attribute_not_exists(last_order) OR',
        '_NOTHING_NEWER = "(attribute_not_exists(last_order) OR attribute_exists(pk) OR',
        _ADAPTERS,
    ),
    _always("name: no newer version was seen", "last_order <= :earliest"),
    Mutation(
        "name: but the same version, or one that is known to be older",
        "aws/dynamodb.py",
        "OR last_version = :mine",
        "OR (last_version = :mine AND attribute_not_exists(pk))",
        _ADAPTERS,
    ),
    Mutation(
        "name: noted when a handoff waits",
        "aws/dynamodb.py",
        "*([self._name(handoff, handoff.version_id, now)] if handoff.sequencer else [])",
        "*[]",
        _ADAPTERS,
    ),
    Mutation(
        "name: noted with a claim",
        "aws/dynamodb.py",
        "            self._name(claim.handoff, claim.handoff.version_id, now),\n",
        "",
        _ADAPTERS,
    ),
    Mutation(
        "name: noted with a decision that has no claim",
        "aws/dynamodb.py",
        "*([self._name(handoff, newest, now)] if newest else [])",
        "*[]",
        _ADAPTERS,
    ),
    _always("correlation id: no other file uses it", "#file = :file", '"attribute_not_exists(pk) OR {} OR expires_at'),
    _always("learning an order: none that is exact is known", "handoff_order IN (:earliest, :latest)"),
    _always("decision: the handoff is being processed", "#state = :processing", '_STILL_MINE = "{} AND'),
    _always("decision: by this owner", "#owner = :owner", "AND {} AND attempt"),
    _always("decision: in this attempt", "attempt = :attempt", '#owner = :owner AND {}"'),
    _always("decision: and so is its target", "lease_owner = :owner", '_TARGET_STILL_MINE = "{}"'),
    Mutation(
        "several writes: all or none",
        "aws/writing.py",
        '            self._client.transact_write_items(TransactItems=[{"Update": update} for update in updates])',
        "            for update in updates:\n                self._client.update_item(**update)",
        _ADAPTERS,
    ),
    Mutation(
        "several writes: tried again after a conflict",
        "aws/writing.py",
        "if tried == _TRIES - 1:",
        "if tried == 0:",
        (*_INTERRUPTED, *_ADAPTERS),
    ),
    _upkeep(
        "a sweep is noted: of a row that is there",
        'ConditionExpression="attribute_exists(pk)"',
        'ConditionExpression="attribute_exists(pk) OR attribute_not_exists(pk)"',
    ),
    _upkeep(
        "cleaning up: it is to be done",
        'ConditionExpression="active = :clean_up"',
        'ConditionExpression="active = :clean_up OR attribute_exists(pk)"',
    ),
    _upkeep(
        "cleaning up: it is due",
        ' AND held_until <= :now",\n            ExpressionAttributeValues={":clean_up": CLEAN_UP, ":now": number(now)}',
        '",\n            ExpressionAttributeValues={":clean_up": CLEAN_UP}',
    ),
    _upkeep(
        "sweeping: no other one sweeps", '"NOT held_until > :now"', '"NOT held_until > :now OR attribute_exists(pk)"'
    ),
    _upkeep(
        "sweeping: this one still does", '"lease_owner = :owner"', '"lease_owner = :owner OR attribute_exists(pk)"'
    ),
    _upkeep(
        "a corrupt row: it is as it was read",
        '" AND ".join(clauses)',
        '"(" + " AND ".join(clauses) + ") OR attribute_exists(pk)"',
    ),
    Mutation(
        "a token: it came back",
        "aws/ratelimits.py",
        '"free_at BETWEEN :now AND :latest"',
        '"free_at >= :now AND (free_at <= :latest OR attribute_exists(pk))"',
        _ADAPTERS,
    ),
    Mutation(
        "a token: some are taken",
        "aws/ratelimits.py",
        '"free_at BETWEEN :now AND :latest"',
        '"free_at <= :latest AND (free_at >= :now OR attribute_exists(pk))"',
        _ADAPTERS,
    ),
    Mutation(
        "a token: none is taken",
        "aws/ratelimits.py",
        "OR free_at < :now OR",
        "OR (free_at < :now OR attribute_exists(pk)) OR",
        _ADAPTERS,
    ),
    Mutation(
        "what else is audited: it is as it was read",
        "aws/trails.py",
        '"#rev = :seen" if seen else "attribute_not_exists(pk)"',
        '"#rev = :seen OR attribute_exists(pk)" if seen else "attribute_not_exists(pk)"',
        ("integration/test_audit.py",),
    ),
    Mutation(
        "counting: a shard is where it was read",
        "aws/counters.py",
        "OR #{places['sequence']} = :seen",
        "OR #{places['sequence']} = :seen OR attribute_exists(pk)",
        ("integration/test_counters.py", "unit/test_auditor.py"),
    ),
    Mutation(
        "counting: closed shards are as they were read",
        "aws/counters.py",
        '"folds = :seen" if folds',
        '"folds = :seen OR attribute_exists(pk)" if folds',
        ("integration/test_counters.py", "unit/test_auditor.py"),
    ),
    Mutation(
        "an intent over HTTPS: its name is free (If-None-Match)",
        "aws/inbox.py",
        '{} if replace else {"IfNoneMatch": "*"}',
        "{}",
        ("integration/test_inbox.py",),
    ),
    _bucket(
        "a new object: there is none (If-None-Match)", '{"IfNoneMatch": "*"} if etag is None', "{} if etag is None"
    ),
    _bucket("an object: it is as seen (If-Match)", 'else {"IfMatch": etag}', "else {}"),
    _bucket(
        "a package's file: none is there (If-None-Match)", "files[key], _as_seen(None) | given", "files[key], given"
    ),
    _bucket("a package's file: one that is there is the attempt's own", 'theirs.get("owner") != claim.owner', "False"),
    _bucket(
        "an input that is removed: this version of it",
        "Key=handoff.key, VersionId=handoff.version_id)\n\n    def set_aside",
        "Key=handoff.key)\n\n    def set_aside",
    ),
    _bucket(
        "an input that is archived: this version of it",
        '"Key": handoff.key, "VersionId": handoff.version_id}',
        '"Key": handoff.key}',
    ),
    _bucket(
        "an archive: the name is this version's",
        'if theirs.get("version", handoff.version_id) != handoff.version_id:',
        "if False:",
    ),
    _bucket("a status: a final one stays", ' and theirs.get("final") == "yes":', " and False:"),
    _bucket(
        "a status: that of a newer version stays",
        'if not mine and theirs.get("order", "") > order(handoff):',
        "if False:",
    ),
    _bucket("the live tree: that of a later generation stays", "if _generation(theirs) >= generation:", "if False:"),
    _bucket(
        "a package that is deleted: the handoff published it",
        'if self._client.head_object(**one)["Metadata"].get("handoff") == handoff.version_id:',
        "if True:",
    ),
    _settling("its status was written", "    name = file\n", _LIVE, _ARCHIVE, _REMOVE, _STATUS),
    _settling("the live tree was written", _STATUS, _ARCHIVE, _REMOVE, _LIVE),
    _settling("it was archived", _STATUS, _LIVE, _REMOVE, _ARCHIVE),
    _story(
        "settling: a decision comes before its effects",
        "processing.py",
        "    refusal = app.state.decide(",
        "    settle_decided(app, delivery.handoff, outcome, decision.component)\n    refusal = app.state.decide(",
    ),
    _story(
        "settling: a decision without a claim comes before its effects",
        "processing.py",
        "        return app.state.decide_unclaimed(",
        "        settle(app, mine.handoff, outcomes[-1])\n        return app.state.decide_unclaimed(",
    ),
    _story(
        "publishing: not after the lease",
        "publishing.py",
        "    if app.clock() >= claim.lease_until:",
        "    if False:",
    ),
    _story("queueing: the message is sent before it is noted", "pipeline.py", f"{_SEND}{_QUEUED}", f"{_QUEUED}{_SEND}"),
    _story(
        "sweeping: the message is sent before it is noted",
        "sweep.py",
        "    if app.config.priority_queues:\n        app.queues.send(",
        "    app.state.register(handoff, state, app.clock(), row)\n"
        "    if app.config.priority_queues:\n        app.queues.send(",
    ),
    _story(
        "cleaning up: it is noted as done when it is",
        "cleanup.py",
        "    left = row.reserved\n",
        "    left = row.reserved\n    app.state.cleaned(handoff)\n",
    ),
    _story(
        "a corrupt row: a copy is kept before it is dropped",
        "repairing.py",
        "    app.bucket.set_aside(handoff, key, json.dumps(error.row, indent=2, default=str).encode())\n",
        "",
    ),
]
