"""The API's adapters, and its entry point, on moto."""

import json
import logging
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.exceptions import ConnectionClosedError

from conductor_loop import metrics
from conductor_loop.api import handler
from conductor_loop.errors import NotAnswering
from conductor_loop.housekeeping import ObjectCounts
from conductor_loop.intent import Handoff
from conductor_loop.intents.model import Outcome, order
from conductor_loop.rates import Rate
from conductor_loop.storage import listing, sdk
from conductor_loop.storage.listing import Listing, Wanted
from conductor_loop.storage.measures import Counters, QueueDepths
from conductor_loop.storage.ratelimits import RateLimits
from conductor_loop.storage.state import DynamoDBStateTable
from conductor_loop.tokens import Scope, mint
from tests.factories import BUCKET, intent
from tests.integration.conftest import TABLE
from tests.integration.test_counters import batch
from tests.serving import body, request
from tests.writes import claims, concludes, waits

NOW = 1_800_000_000.0  # 2027-01-15T08:00:00Z
MINUTE = Rate(100, 60, 10)
FAILURE = {"status": "failed", "error_details": {"error_code": "SECURITY_VIOLATION", "code": "E003"}}
OUTCOME = Outcome(FAILURE, "failed")


@pytest.fixture
def table(aws: boto3.session.Session) -> Any:
    return aws.client("dynamodb")


@pytest.fixture
def state(table: Any) -> DynamoDBStateTable:
    return DynamoDBStateTable(table, TABLE, keep_seconds=3600, jitter=lambda: 0.0)


def handoff(number: int, day: str = "2027-01-15") -> Handoff:
    time = f"{day}T00:00:{number:02}.000Z"
    return Handoff(BUCKET, f"intent-{number}.json", f"v{number}", event_time=time, order=order(time, "0A"))


class TestRateLimits:
    def test_a_burst_passes_and_the_rest_is_refused_without_a_call(self, table: Any) -> None:
        calls: list[str] = []
        table.meta.events.register("before-call.dynamodb.*", lambda model, **_: calls.append(model.name))
        limits = RateLimits(table, TABLE)
        taken = [limits.take("a", MINUTE, NOW) for _ in range(30)]
        assert [one.allowed for one in taken] == [True] * 10 + [False] * 20
        assert [one.remaining for one in taken[:10]] == list(range(9, -1, -1))
        assert len(calls) == 10

    def test_workers_share_a_bucket(self, table: Any) -> None:
        one, other = RateLimits(table, TABLE), RateLimits(table, TABLE)
        assert all(one.take("a", MINUTE, NOW).allowed for _ in range(10))
        refused = other.take("a", MINUTE, NOW)
        assert (refused.allowed, refused.retry_after_seconds, refused.reset_seconds) == (False, 1, 6)
        assert other.take("a", MINUTE, NOW + 0.7).allowed

    def test_a_worker_that_remembers_tokens_takes_none_that_others_have_taken(self, table: Any) -> None:
        one, other = RateLimits(table, TABLE), RateLimits(table, TABLE)
        assert one.take("a", MINUTE, NOW).allowed
        assert all(other.take("a", MINUTE, NOW).allowed for _ in range(9))
        assert not one.take("a", MINUTE, NOW).allowed

    def test_a_worker_that_remembers_taken_tokens_sees_that_all_are_back(self, table: Any) -> None:
        limits = RateLimits(table, TABLE)
        limits.take("a", MINUTE, NOW)
        older = {"pk": {"S": "ratelimit#a"}, "sk": {"S": "-"}, "free_at": {"N": str(NOW - 100)}}  # from a backup
        table.put_item(TableName=TABLE, Item=older)
        assert [limits.take("a", MINUTE, NOW).remaining for _ in range(2)] == [9, 8]

    def test_a_full_bucket_takes_one_call_however_long_it_was_left_alone(self, table: Any) -> None:
        limits = RateLimits(table, TABLE)
        assert [limits.take("a", MINUTE, NOW + after).remaining for after in (0, 1000, 5000)] == [9, 9, 9]

    @pytest.mark.parametrize("fields", [{"free_at": {"S": "~"}}, {}])
    def test_a_bucket_that_makes_no_sense_begins_anew(self, table: Any, fields: dict[str, Any]) -> None:
        table.put_item(TableName=TABLE, Item={"pk": {"S": "ratelimit#a"}, "sk": {"S": "-"}, **fields})
        assert [RateLimits(table, TABLE).take("a", MINUTE, NOW).remaining for _ in range(2)] == [9, 8]

    def test_a_bucket_expires(self, table: Any) -> None:
        RateLimits(table, TABLE).take("a", MINUTE, NOW)
        (row,) = table.scan(TableName=TABLE)["Items"]
        assert float(row["expires_at"]["N"]) == NOW + 3660

    def test_what_is_remembered_is_bounded(self, table: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("conductor_loop.storage.ratelimits._MAX_REMEMBERED", 2)
        limits = RateLimits(table, TABLE)
        for name in "abc":
            limits.take(name, MINUTE, NOW)
        assert list(limits._seen) == ["c"]

    def test_a_table_that_is_not_there_does_not_answer(self, table: Any) -> None:
        with pytest.raises(NotAnswering):
            RateLimits(table, "none").take("a", MINUTE, NOW)


class TestListing:
    def test_intents_are_listed_newest_first_over_days_and_pages(self, table: Any, state: DynamoDBStateTable) -> None:
        for number, day in enumerate(["2027-01-12", "2027-01-14", "2027-01-14", "2027-01-15"]):
            state.write(waits(handoff(number, day)))
        found, position = [], None
        while True:
            page = Listing(table, TABLE, 7 * 86_400).page(Wanted(limit=2, position=position), NOW)
            found += [one.name for one in page.intents]
            if (position := page.position) is None:
                break
        assert found == ["intent-3.json", "intent-2.json", "intent-1.json", "intent-0.json"]

    def test_filters_are_applied_to_the_rows(self, table: Any, state: DynamoDBStateTable) -> None:
        state.write(waits(handoff(1)))
        claim = claims(handoff(2))
        state.write(replace(claim, after=replace(claim.after, priority="high")))
        filters = {"state": "processing", "priority": "high", "namespace": "ns"}
        (one,) = Listing(table, TABLE, 86_400).page(Wanted(10, filters), NOW).intents
        assert (one.name, one.attempts, one.priority, one.namespace) == ("intent-2.json", 1, "high", "ns")

    def test_rows_that_dynamodb_leaves_out_of_an_answer_are_read_next(
        self, table: Any, state: DynamoDBStateTable, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for number in (1, 2, 3):
            state.write(waits(handoff(number)))
        whole = table.batch_get_item

        def one(RequestItems: Any) -> Any:  # noqa: N803 - boto3's name
            first, *rest = RequestItems[TABLE]["Keys"]
            left = {TABLE: {"Keys": rest}} if rest else {}
            return whole(RequestItems={TABLE: {"Keys": [first]}}) | {"UnprocessedKeys": left}

        monkeypatch.setattr(table, "batch_get_item", one)
        page = Listing(table, TABLE, 86_400).page(Wanted(10), NOW)
        assert [intent.name for intent in page.intents] == ["intent-3.json", "intent-2.json", "intent-1.json"]

    def test_where_dynamodb_reads_none_of_the_rows_it_is_not_asked_for_ever(
        self, table: Any, state: DynamoDBStateTable, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        state.write(waits(handoff(1)))

        def none(RequestItems: Any) -> Any:  # noqa: N803 - boto3's name
            return {"Responses": {}, "UnprocessedKeys": RequestItems}

        monkeypatch.setattr(table, "batch_get_item", none)
        with pytest.raises(NotAnswering):
            Listing(table, TABLE, 86_400).page(Wanted(10), NOW)
        with pytest.raises(NotAnswering):
            state.find([handoff(1)])

    def test_a_page_has_a_price_and_the_next_goes_on_behind_it(
        self, table: Any, state: DynamoDBStateTable, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(listing, "_MAX_QUERIES", 3)
        state.write(waits(handoff(1, "2027-01-10")))
        intents = Listing(table, TABLE, 30 * 86_400)
        first = intents.page(Wanted(10), NOW)
        assert (first.intents, first.position) == ((), {"arrival_day": "2027-01-12"})
        second = intents.page(Wanted(10, position=first.position), NOW)
        assert [one.name for one in second.intents] == ["intent-1.json"]

    def test_a_name_as_long_as_s3_takes_is_listed(self, table: Any, state: DynamoDBStateTable) -> None:
        long = replace(handoff(1), key=f"intent-{'a' * 1012}.json")
        state.write(waits(long))
        (row,) = (item for item in table.scan(TableName=TABLE)["Items"] if item["pk"]["S"].startswith("intent#"))
        assert len(row["arrived"]["S"].encode()) <= 1024  # of an index's key, which moto does not hold us to
        (one,) = Listing(table, TABLE, 86_400).page(Wanted(10), NOW).intents
        assert one.name == long.key

    def test_a_corrupt_row_keeps_no_other_from_its_answer(self, table: Any, state: DynamoDBStateTable) -> None:
        for number in (1, 2):
            state.write(waits(handoff(number)))
        row = {"pk": {"S": "intent#intent-1.json"}, "sk": {"S": "v1"}}
        table.update_item(
            TableName=TABLE, Key=row, UpdateExpression="SET attempt = :x", ExpressionAttributeValues={":x": {"S": "~"}}
        )
        page = Listing(table, TABLE, 86_400).page(Wanted(10), NOW)
        assert [one.name for one in page.intents] == ["intent-2.json", "intent-1.json"]

    def test_the_newest_version_of_a_name_is_found_with_its_status(self, table: Any, state: DynamoDBStateTable) -> None:
        older, newer = handoff(1), replace(handoff(1), version_id="a", event_time="2027-01-15T00:00:09.000Z")
        state.write(concludes(newer, outcome=OUTCOME))
        state.write(waits(older))
        answered = Listing(table, TABLE, 86_400).newest("intent-1.json")
        assert answered is not None
        assert (answered.listed.version_id, answered.listed.state, answered.status) == ("a", "failed", FAILURE)
        assert Listing(table, TABLE, 86_400).newest("intent-2.json") is None


class TestMeasures:
    def test_the_counters_say_by_how_much_they_are_behind(self, aws: boto3.session.Session, table: Any) -> None:
        s3, counts, measures = aws.client("s3"), ObjectCounts(table, TABLE), Counters(table, TABLE)
        assert measures.counts(NOW).lag == 0
        Counters(table, TABLE).advance(batch("shard-1", "1", created_at=NOW, lag=2))
        assert measures.counts(NOW + 30).lag == 2, "as it was counted last"
        counts.count_page(s3, BUCKET, {"swept_at": NOW + 60})
        assert measures.counts(NOW + 70).lag == 2, "the sweep's own note is still on its way"
        counts.count_page(s3, BUCKET, {"swept_at": NOW + 120})
        assert measures.counts(NOW + 130).lag == 130, "that of the sweep before is not counted"

    def test_an_intent_that_looks_like_an_attack_is_known_by_its_time(self, table: Any) -> None:
        Counters(table, TABLE).advance(batch("shard-1", "1", attacks=1))
        assert Counters(table, TABLE).counts(NOW).security_at == NOW

    def test_files_are_counted_a_page_at_a_time(self, aws: boto3.session.Session, table: Any) -> None:
        s3 = aws.client("s3")
        files = ("intent-a.json", "processed/intent-b.json", "processed/intent-b.json@v1")
        folders = ("failed/state/row.json", "intent-archive/a.json", "intent-archive/b.json", "processed/old/a.json")
        for key in (*files, *folders):
            s3.put_object(Bucket=BUCKET, Key=key, Body=b"")
        pages: list[str] = []
        s3.meta.events.register("provide-client-params.s3.ListObjectsV2", lambda params, **_: params | {"MaxKeys": 1})
        s3.meta.events.register("before-call.s3.ListObjectsV2", lambda params, **_: pages.append(params["url_path"]))
        counts, measures = ObjectCounts(table, TABLE), Counters(table, TABLE)
        assert measures.counts(NOW).gauges == {}
        counts.count_page(s3, BUCKET, {"overdue": 7, "oldest_high": 901.5})
        found = measures.counts(NOW).gauges
        assert (found["overdue"], found["oldest_high"]) == (7, 901.5)
        assert {name for name in found if name.startswith("directory_")} == {"directory_failed"}, "the others go on"
        for _ in range(2):
            counts.count_page(s3, BUCKET, {"overdue": 0})
        found = measures.counts(NOW).gauges
        assert [found[f"directory_{name}"] for name in ("handoff", "processed", "failed")] == [1, 2, 0], "no folders"
        assert len(pages) == 9

    def test_queues_are_added_up(self, aws: boto3.session.Session) -> None:
        sqs = aws.client("sqs")
        urls = {name: sqs.create_queue(QueueName=name)["QueueUrl"] for name in ("high", "normal", "low", "dead")}
        for name in ("high", "high", "low", "dead"):
            sqs.send_message(QueueUrl=urls[name], MessageBody="x")
        assert (QueueDepths(sqs, urls).size(), QueueDepths(sqs, {}).size()) == (3, 0), "dead letters are no backlog"
        assert QueueDepths(sqs, urls).each() == {"high": 2, "normal": 0, "low": 1, "dead": 1}
        with pytest.raises(NotAnswering):
            QueueDepths(sqs, {"low": "https://sqs.us-east-1.amazonaws.com/123456789012/none"}).size()


@pytest.fixture
def deployed(aws: boto3.session.Session, monkeypatch: pytest.MonkeyPatch) -> Iterator[boto3.session.Session]:
    queue = aws.client("sqs").create_queue(QueueName="normal")["QueueUrl"]
    aws.client("secretsmanager").create_secret(Name="tokens", SecretString='{"tokens": []}')
    for name, value in {
        "AWS_DEFAULT_REGION": "us-east-1",
        "CONDUCTOR_STATE_TABLE": TABLE,
        "CONDUCTOR_HANDOFF_BUCKET": BUCKET,
        "CONDUCTOR_QUEUE_NORMAL": queue,
        "CONDUCTOR_TOKENS_SECRET": "tokens",
        "CONDUCTOR_WORKERS": "4 4 2 10",
        "CONDUCTOR_PORCH_PATH": "/bin/true",
    }.items():
        monkeypatch.setenv(name, value)
    yield aws
    for one in (handler._limits, handler._tokens):
        one.cache_clear()
    for two in (handler._live, handler._built, metrics.logger):
        two.cache_clear()
    logger: Any = logging.getLogger(metrics.SERVICE)
    logger.handlers.clear()  # they hold this test's standard output
    logger.init = logger.powertools_handler = False  # it is set up anew by the next test


def test_the_entry_point_answers(deployed: boto3.session.Session) -> None:
    del deployed
    answers = {path: handler.api(request("GET", path), None) for path in ("/livez", "/readyz", "/healthz", "/intents")}  # type: ignore[arg-type]
    assert [answer["statusCode"] for answer in answers.values()] == [200, 200, 200, 401]
    assert body(answers["/readyz"])["max_workers"] == 100


def test_without_a_configuration_there_is_an_error_and_liveness(
    deployed: boto3.session.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    del deployed

    def lose(**_: object) -> None:
        raise ConnectionClosedError(endpoint_url="https://ssm")

    monkeypatch.setenv("CONDUCTOR_CONFIG_PARAMETER", "/conductor-loop/config")
    monkeypatch.setenv("CONDUCTOR_STACK", "conductor-loop")
    sdk.client("ssm", sdk.API_STARTING).meta.events.register("before-send", lose)
    answers = {path: handler.api(request("GET", path), None) for path in ("/livez", "/readyz", "/intents")}  # type: ignore[arg-type]
    assert [answer["statusCode"] for answer in answers.values()] == [200, 503, 503]
    assert body(answers["/readyz"])["error"]["code"] == "SERVICE_UNAVAILABLE"
    assert answers["/intents"]["headers"]["Retry-After"] == "30"


def test_a_copy_that_starts_waits_longer_for_the_configuration_than_one_that_has_one(
    deployed: boto3.session.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployed.client("ssm").put_parameter(Name="/c/config", Value="{}", Type="String")
    waits: list[float] = []
    for profile in (sdk.API_STARTING, sdk.API_CONFIGURATION):
        client = sdk.client("ssm", profile)
        wait = client.meta.config.read_timeout
        client.meta.events.register("before-send", lambda wait=wait, **_: waits.append(wait))
    monkeypatch.setenv("CONDUCTOR_CONFIG_PARAMETER", "/c/config")
    monkeypatch.setenv("CONDUCTOR_CONFIG_MAX_AGE", "0s")
    assert [handler._live().config().version for _ in range(3)] == ["1"] * 3
    assert waits == [1.5, 0.25, 0.25]


def test_connections_that_died_while_the_function_was_frozen_are_made_anew(deployed: boto3.session.Session) -> None:
    now = datetime.now(UTC).timestamp()
    token, clear = mint("me", set(Scope), now, now + 60, random=bytes(40))
    text = json.dumps({"tokens": [token.entry()]})
    deployed.client("secretsmanager").put_secret_value(SecretId="tokens", SecretString=text)
    lost: list[str] = []
    register_dying(sdk.client("dynamodb", sdk.API_LIMITER), lost)
    register_dying(sdk.client("s3", sdk.API_UPLOAD), lost)
    for service in ("dynamodb", "sqs", "secretsmanager"):
        register_dying(sdk.client(service, sdk.API), lost)
    paths = ("/readyz", "/healthz", "/metrics", "/intents", "/intents/intent-a.json")
    answers = [handler.api(request("GET", path, token=clear), None) for path in paths]  # type: ignore[arg-type]
    assert [answer["statusCode"] for answer in answers] == [200, 200, 200, 200, 404]
    assert {name.partition(".")[0] for name in lost} == {"dynamodb", "sqs", "s3", "secretsmanager"}


def register_dying(client: Any, lost: list[str]) -> None:
    """Let the first try of each call of a client but a put find its connection closed; those are noted."""
    call = threading.local()  # each call is made by one thread

    def before_call(model: Any, **_: Any) -> None:
        call.tries = 0
        lost.append(f"{client.meta.service_model.service_name}.{model.name}")

    def before_send(**_: Any) -> None:
        call.tries += 1
        if call.tries == 1:
            raise ConnectionClosedError(endpoint_url="https://aws")

    client.meta.events.register("before-call", before_call)
    client.meta.events.register_first("before-send", before_send)


def test_a_token_of_the_stack_sends_an_intent(deployed: boto3.session.Session) -> None:
    now = datetime.now(UTC).timestamp()
    token, clear = mint("me", {Scope.INTENTS_READ, Scope.INTENTS_WRITE}, now, now + 60, random=bytes(40))
    text = json.dumps({"tokens": [token.entry()]})
    deployed.client("secretsmanager").put_secret_value(SecretId="tokens", SecretString=text)
    sent = handler.api(request("POST", "/intents", token=clear, body=intent()), None)  # type: ignore[arg-type]
    assert sent["statusCode"] == 202
    name = body(sent)["name"]
    assert len(name) == len("intent-.json") + 26
    seen = handler.api(request("GET", f"/intents/{name}", token=clear), None)  # type: ignore[arg-type]
    assert body(seen)["state"] == "received"
