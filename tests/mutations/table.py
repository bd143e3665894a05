"""The mutations: what each takes out, and which tests are to notice, the likeliest first.

A mutation is a piece of code that occurs once in its file, and what takes its place. Of a condition that DynamoDB is
given, all values must be used: it is made to hold always, and stays where it is; without parentheses, which the table
in memory does not know.
"""

from dataclasses import dataclass

_ADAPTERS = ("integration/test_state.py", "integration/test_adapters.py", "integration/test_publishing.py")
_CORRUPT = ("integration/test_unreadable.py",)
_INTERRUPTED = ("integration/test_interruptions.py",)
_PLAYED = ("unit/test_explorer.py", "unit/test_schedules.py")
_HISTORIES = (
    *("unit/test_lifecycle.py", "unit/test_promises.py", "unit/test_pipeline.py", "unit/test_recovery.py"),
    *_PLAYED,
)


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


def _state(what: str, old: str, new: str, *tests: str) -> Mutation:
    return Mutation(what, "storage/state.py", old, new, (*tests, *_ADAPTERS))


def _upon(what: str, rev: str, *, new: bool) -> Mutation:
    """Make a row be written whatever its revision; ``new``: whether there is one."""
    holds = f'" OR attribute_exists(pk)" if {"not " if new else ""}{rev} else ""'
    given = f"*_unchanged({rev})"
    return _state(what, given, f"_unchanged({rev})[0] + ({holds}), _unchanged({rev})[1]")


def _bucket(what: str, old: str, new: str) -> Mutation:
    return Mutation(what, "storage/bucket.py", old, new, (*_ADAPTERS, "integration/test_archives.py", *_INTERRUPTED))


def _life(what: str, file: str, old: str, new: str) -> Mutation:
    return Mutation(what, f"intents/{file}", old, new, _HISTORIES)


def _applying(what: str, *order: str) -> Mutation:
    was = (_STATUS, _LIVE, _ARCHIVE, _REMOVE)
    return _life(f"applying: the input is removed after {what}", "outcome.py", "".join(was), "".join(order))


_STATUS = "    name = app.bucket.put_status(handoff, fitting(handoff.file), outcome.document, final=True)\n"
_LIVE = "    _write_live(app, handoff, outcome, component)\n"
_ARCHIVE = """    try:
        app.bucket.archive(handoff, f"{outcome.archive}/{name}")
    except Gone:
        return Answer.SETTLED  # it is removed last: another worker has applied it meanwhile
    except Illegible:
        return Answer.LEFT  # as its status says: nothing is lost
"""
_REMOVE = "    app.bucket.remove(handoff)\n"
_SEND = "    app.queues.send(replace(message, handoff=handoff, target=target), intent.namespace, delay_seconds)\n"

TABLE = [
    _upon("row: there is none", "write.before.rev", new=True),
    _upon("row: its revision is the one that was read", "write.before.rev", new=False),
    _upon("target: there is no row", "before.rev", new=True),
    _upon("target: its revision is the one that was read", "before.rev", new=False),
    _state(
        "row: fields that the write does not change stay",
        "_changes(attributes(write.before), attributes(write.after))",
        "_changes({}, attributes(write.after))",
    ),
    _state(
        "name: no newer version was seen",
        "last_order <= :earliest",
        "last_order <= :earliest OR attribute_exists(pk)",
    ),
    _state(
        "name: but the same version, or one that is known to be older",
        "OR last_version = :mine",
        "OR last_version = :mine AND attribute_not_exists(pk)",
    ),
    _state("correlation id: no other file uses it", "OR #file = :file", "OR #file = :file OR attribute_exists(pk)"),
    _state(
        "several writes: all or none",
        "self._client.transact_write_items(TransactItems=items)",
        'any(self._client.update_item(**one["Update"]) is None for one in items)',
    ),
    _state(
        "several writes: tried again after a conflict",
        "if tried == _CONFLICT_TRIES - 1:",
        "if tried == 0:",
        *_INTERRUPTED,
    ),
    _state(
        "cleaning up: it is due",
        ' AND due_at <= :now"',
        ' AND due_at >= :now"',
    ),
    _state(
        "a corrupt row: it is as it was read",
        '" AND ".join(',
        '"attribute_exists(pk) OR " + " AND ".join(',
        *_CORRUPT,
    ),
    _life(
        "row: what is done stays done",
        "model.py",
        "    if row is not None and row.outcome is not None:\n        return Done(row.outcome, row.order)\n",
        "",
    ),
    _life("row: it is due", "attempt.py", "if row.due_at > now and not while_busy:", "if False:"),
    _life(
        "row: revision 1 is that of one that waits",
        "model.py",
        "if self.rev or after.state is State.WAITING",
        "if True or self.rev",
    ),
    _life("target: its lease has expired", "attempt.py", "if target.lease_expires_at > now:", "if False:"),
    _life(
        "target: nothing newer was applied",
        "attempt.py",
        "if app.config.supersede_older and target.last_order > latest(handoff.order):",
        "if False:",
    ),
    _life("target: no revision is used twice", "model.py", "max(self.rev + 1, int(now * 1000))", "self.rev + 1"),
    _life(
        "target: the first number follows the newest package",
        "attempt.py",
        "number = app.bucket.next_number(handoff, name)",
        "number = 0",
    ),
    _life("name: noted when a handoff waits", "admit.py", "newest=mine.version_id)", 'newest="")'),
    _life(
        "name: noted with a claim",
        "attempt.py",
        "        newest=attempt.handoff.version_id,\n",
        '            newest="",\n',
    ),
    _life(
        "name: noted with a decision that has no claim",
        "attempt.py",
        "now, last, newest=delivery.newest)",
        "now, last)",
    ),
    _life(
        "order: that of a late event is kept",
        "admit.py",
        "return Write(mine, row, replace(row, order=mine.order), now), None",
        "return Write(mine, row, row, now), None",
    ),
    _life(
        "order: the better one is used",
        "attempt.py",
        "now, handoff = app.clock(), known(delivery.handoff, row.order)",
        "now, handoff = app.clock(), delivery.handoff",
    ),
    _life(
        "order: one that comes while its intent runs is used",
        "attempt.py",
        "last_order=applied_order(target.last_order, _order(app, attempt.handoff))",
        "last_order=applied_order(target.last_order, attempt.handoff.order)",
    ),
    _life(
        "an event that finds another worker: leaves a message",
        "admit.py",
        "app.queues.send(delivery.message, _GROUP, answered.seconds)",
        "pass",
    ),
    _life(
        "decision: fenced by the row",
        "attempt.py",
        "app.state.write(Write(attempt.handoff, attempt.row, after,",
        "app.state.write(Write(attempt.handoff, app.state.find([attempt.handoff])[attempt.handoff], after,",
    ),
    _life(
        "decision: fenced by the target",
        "attempt.py",
        "replace(attempt.lease, before=attempt.lease.after, after=target)",
        "replace(attempt.lease, before=app.state.target(attempt.lease.target), after=target)",
    ),
    _life(
        "claim: a number of an attempt that may have published stays reserved",
        "attempt.py",
        "attempt.row.packages if next_number else attempt.earlier",
        "attempt.earlier",
    ),
    Mutation(
        "a token: it came back",
        "storage/ratelimits.py",
        '"free_at BETWEEN :now AND :latest"',
        '"free_at >= :now AND (free_at <= :latest OR attribute_exists(pk))"',
        ("integration/test_adapters.py", "integration/test_api.py"),
    ),
    Mutation(
        "a token: some are taken",
        "storage/ratelimits.py",
        '"free_at BETWEEN :now AND :latest"',
        '"free_at <= :latest AND (free_at >= :now OR attribute_exists(pk))"',
        ("integration/test_adapters.py", "integration/test_api.py"),
    ),
    Mutation(
        "a token: none is taken",
        "storage/ratelimits.py",
        "OR free_at < :now OR",
        "OR (free_at < :now OR attribute_exists(pk)) OR",
        ("integration/test_adapters.py", "integration/test_api.py"),
    ),
    Mutation(
        "what else is audited: it is not noted yet",
        "audit/events.py",
        '"attribute_not_exists(pk)"',
        '"attribute_not_exists(pk) OR attribute_exists(pk)"',
        ("integration/test_audit.py",),
    ),
    Mutation(
        "counting: a shard, or all that are closed, is as it was read",
        "storage/measures.py",
        "OR #sequence = :before",
        "OR #sequence = :before OR attribute_exists(pk)",
        ("integration/test_counters.py", "unit/test_auditor.py"),
    ),
    Mutation(
        "an intent over HTTPS: its name is free (If-None-Match)",
        "storage/inbox.py",
        '{} if replace else {"IfNoneMatch": "*"}',
        "{}",
        ("integration/test_inbox.py",),
    ),
    _bucket(
        "a new object: there is none (If-None-Match)", '{"IfNoneMatch": "*"} if etag is None', "{} if etag is None"
    ),
    _bucket("an object: it is as seen (If-Match)", 'else {"IfMatch": etag}', "else {}"),
    _bucket(
        "a package's file: none is there (If-None-Match)",
        "body, None, metadata",
        "body, self._metadata(handoff, key)[1], metadata",
    ),
    _bucket("a package's file: one that is there is the attempt's own", "theirs == metadata", "True"),
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
        'if not mine and theirs.get("order", "") > handoff.order:',
        "if False:",
    ),
    _bucket("the live tree: that of a later generation stays", "_generation(theirs) >= generation or ", ""),
    _bucket(
        "a package that is deleted: the handoff published it",
        'if self._client.head_object(**one)["Metadata"].get("handoff") == handoff.version_id:',
        "if True:",
    ),
    _applying("its status was written", "    name = handoff.file\n", _LIVE, _ARCHIVE, _REMOVE, _STATUS),
    _applying("the live tree was written", _STATUS, _ARCHIVE, _REMOVE, _LIVE),
    _applying("it was archived", _STATUS, _LIVE, _REMOVE, _ARCHIVE),
    _life(
        "applying: after the decision",
        "attempt.py",
        '    conflict = _release(app, attempt, after, target, {"tally"',
        "    apply_outcome(app, attempt.handoff, measured.outcome, component)\n"
        '    conflict = _release(app, attempt, after, target, {"tally"',
    ),
    _life(
        "applying: after a decision without a claim",
        "attempt.py",
        "        return Write(mine.handoff, row, after, now,",
        "        apply_outcome(app, mine.handoff, measured.outcome)\n"
        "        return Write(mine.handoff, row, after, now,",
    ),
    _life("publishing: not after the lease", "attempt.py", "if app.clock() >= attempt.row.due_at:", "if False:"),
    _life(
        "queueing: the message is sent before it is noted",
        "admit.py",
        _SEND,
        "    noted = enqueued(Row(), handoff, app.clock())\n"
        f"    app.state.write(Write(handoff, Row(), noted, app.clock()))\n{_SEND}",
    ),
    _life(
        "handing over: the message is sent before it is noted",
        "reconcile.py",
        "    app.queues.send(Message(handoff, swept=True), _GROUP)\n",
        "    noted = enqueued(row, handoff, app.clock())\n"
        "    app.state.write(Write(handoff, row, noted, 0.0))\n"
        "    app.queues.send(Message(handoff, swept=True), _GROUP)\n",
    ),
    _life(
        "cleaning up: it is noted as done when it is",
        "reconcile.py",
        "        left = left[1:]\n",
        "        left = ()\n",
    ),
    _life(
        "the sweeper: what was withdrawn does not wait for its message",
        "reconcile.py",
        " or (one.withdrawn and row.reconcile_at > now + _AGAIN_SECONDS)",
        "",
    ),
    Mutation(
        "a corrupt row: what is decided keeps its outcome",
        "storage/rows.py",
        '"packages", "outcome"):',
        '"packages"):',
        _CORRUPT,
    ),
    Mutation(
        "a corrupt row: its order stays",
        "storage/rows.py",
        '"entries", "order", "due_at"',
        '"entries", "due_at"',
        _CORRUPT,
    ),
    _life(
        "giving back: a defect of our own costs an attempt",
        "attempt.py",
        "costs=isinstance(error, _DEFECTS)",
        "costs=False",
    ),
    Mutation(
        "a corrupt row: a copy is kept before it is deleted",
        "intents/reconcile.py",
        "    app.bucket.set_aside(handoff, key, json.dumps(error.row, indent=2, default=str).encode())\n",
        "",
        _CORRUPT,
    ),
]
