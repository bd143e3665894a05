import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conductor_loop.cli.config import inspect
from conductor_loop.config import Config, InvalidConfig, load
from conductor_loop.config.schema import Leaf, Source, effective, get, leaves, mistakes, parse, put, seconds, size
from conductor_loop.config.typed import TokenSource, VaultAccess
from conductor_loop.porch import Mode

TABLE = {"CONDUCTOR_STATE_TABLE": "state", "CONDUCTOR_QUEUE_NORMAL": "https://sqs/normal"}
DATA = Path(__file__).parents[1] / "data"
LEAVES = {leaf.dotted: leaf for leaf in leaves()}


def test_only_the_table_and_the_queue_have_no_default() -> None:
    config = load({}, TABLE)
    assert (config.porch_path, config.mode, config.processing_timeout_seconds) == (
        "/opt/bin/porch",
        Mode.STRUCTURED,
        30,
    )
    with pytest.raises(InvalidConfig) as caught:
        load({}, {})
    assert caught.value.problems == (
        "CONDUCTOR_STATE_TABLE is not set: name the state table",
        "CONDUCTOR_QUEUE_NORMAL is not set: name the queue, or set processing.priority_queues to false",
    )


@pytest.mark.parametrize(
    ("text", "expected"), [("500ms", 0.5), ("30s", 30), ("1.5m", 90), ("168h", 604_800), ("7d", 604_800)]
)
def test_durations_are_read_with_their_units(text: str, expected: float) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize(("text", "expected"), [("512B", 512), ("64KB", 65_536), ("10MB", 10_485_760), ("1GB", 2**30)])
def test_sizes_are_powers_of_1024(text: str, expected: int) -> None:
    assert size(text) == expected


def test_the_sample_of_the_specification_is_valid_as_it_is() -> None:
    document = json.loads((DATA / "spec/config.json").read_text())
    assert mistakes(document) == ()
    config = load(document, TABLE)
    assert (config.mode, config.log_level, config.porch_environment["PORCH_SECURITY_MODE"]) == (
        "structured",
        "INFO",
        "strict",
    )


def test_ten_mistakes_are_ten_messages_with_path_and_remedy() -> None:
    document = json.loads((DATA / "ten-mistakes.json").read_text())
    with pytest.raises(InvalidConfig) as caught:
        load(document, TABLE)
    assert caught.value.problems == (
        "$.audit.destinations[0].type: the field is missing; add it",
        "$.max_worker: is not known; did you mean max_workers?",
        '$.mode: "fast" is not allowed; write one of "direct", "structured"',
        '$.porch.environment: "lower" does not fit; write a name in capitals, not a secret\'s, e.g. PORCH_LOG_LEVEL',
        "$.processing.retry_attempts: 99 is more than 10; write 10 or less",
        '$.processing.retry_delay: "1d" does not fit; write one from 1s to 15m',
        '$.processing.timeout: "soon" does not fit; write a duration such as 500ms, 30s, 5m, 168h or 7d',
        '$.security.validation.allowed_extensions[0]: ".exe" is not allowed; write one of ".json"',
        '$.security.validation.max_file_size: "1TB" does not fit; write a size such as 64KB, 10MB or 1GB',
        '$.validation.max_replicas: "3" is not a whole number; write a whole number, without quotes',
    )


def test_problems_of_the_environment_name_the_variable() -> None:
    environment = {
        "CONDUCTOR_MAX_WORKERS": "many",
        "CONDUCTOR_METRICS_ENABLD": "true",
        "CONDUCTOR_HEALTH_PORT": "0",
        "CONDUCTOR_DEFAULTS": "{",
        "HOME": "/root",
    }
    with pytest.raises(InvalidConfig) as caught:
        effective({}, environment)
    assert [problem.partition(":")[0] for problem in caught.value.problems] == [
        "CONDUCTOR_DEFAULTS",
        "CONDUCTOR_MAX_WORKERS",
        "CONDUCTOR_METRICS_ENABLD",
        "environment",
    ]
    assert "did you mean CONDUCTOR_METRICS_ENABLED?" in str(caught.value)


@pytest.mark.parametrize("text", ["[]", "3", '"text"', "null"])
def test_a_document_that_is_no_object_is_a_problem(text: str) -> None:
    with pytest.raises(InvalidConfig, match="write an object"):
        load(json.loads(text), TABLE)


def test_the_last_source_that_has_a_key_wins_and_is_named() -> None:
    environment = {"CONDUCTOR_DEFAULTS": '{"log_level": "error", "mode": "direct"}', "CONDUCTOR_MAX_WORKERS": "8"}
    found = effective({"log_level": "debug"}, environment)
    assert [found.sources[key] for key in ("log_level", "mode", "max_workers", "log_format")] == [
        Source.DOCUMENT,
        Source.TEMPLATE,
        Source.ENVIRONMENT,
        Source.DEFAULT,
    ]
    assert (found.values["log_level"], found.values["mode"], found.values["max_workers"]) == ("debug", "direct", 8)


def test_a_member_by_variable_stands_beside_those_of_the_document() -> None:
    document = {"porch": {"environment": {"PORCH_LOG_LEVEL": "info", "PORCH_SECURITY_MODE": "strict"}}}
    found = effective(document, {"CONDUCTOR_PORCH_ENVIRONMENT_PORCH_LOG_LEVEL": "debug"})
    assert found.values["porch"]["environment"] == {"PORCH_LOG_LEVEL": "debug", "PORCH_SECURITY_MODE": "strict"}


def test_every_key_has_a_variable_of_its_own_a_description_and_a_default_that_fits() -> None:
    assert len({leaf.variable for leaf in leaves()}) == len(leaves())
    for leaf in leaves():
        document: dict[str, Any] = {}
        put(document, leaf.path, leaf.schema["default"])
        assert mistakes(document) == (), leaf.dotted
        assert leaf.schema["description"], leaf.dotted


def test_the_settings_reach_the_typed_configuration() -> None:
    document = {
        "security": {"validation": {"strict_mode": False}, "access_control": {"rate_limiting": False}},
        "validation": {"max_replicas": 500},
        "processing": {"timeout": "60s", "resource_limits": {"max_memory": "1GB"}},
        "porch": {"execution_timeout": "45s"},
        "log_level": "warn",
    }
    config = load(document, TABLE | {"CONDUCTOR_QUEUE_HIGH": "https://sqs/high"})
    assert (config.rules.mode, config.rules.max_replicas, config.high_per_minute) == ("standard", 500, None)
    assert (config.processing_timeout_seconds, config.porch_timeout_seconds) == (45, 45)
    assert (config.porch_memory_bytes, config.log_level) == (2**30, "WARNING")
    assert config.queues == {"normal": "https://sqs/normal", "high": "https://sqs/high"}
    assert load({}, TABLE | {"KMS_KEY": "of another program"}).kms_key == ""


def test_tokens_come_from_the_secret_or_from_vault() -> None:
    environment = TABLE | {"CONDUCTOR_TOKENS_SECRET": "stack/tokens"}
    assert load({}, environment).token_source == TokenSource("stack/tokens")
    vault = {"enabled": True, "address": "https://vault.example", "auth_method": "kubernetes"}
    found = load({"secrets": {"vault": vault}}, environment).token_source.vault
    assert found == VaultAccess("https://vault.example", "aws", "conductor-loop", "secret/conductor-loop")


@pytest.mark.parametrize("path", ["a/../b", "../b", "a/..", "a/./b", "./b", "secret", "secret/", "/secret/a", "a/b\n"])
def test_a_path_in_vault_leads_nowhere_else(path: str) -> None:
    with pytest.raises(InvalidConfig, match=r"\$\.secrets\.vault\.secrets_path: .* write mount and path without"):
        load({"secrets": {"vault": {"secrets_path": path}}}, TABLE)


@pytest.mark.parametrize("path", ["secret/conductor-loop", "kv/a.b/..c/v1.2", "kv/...", ".kv/a"])
def test_dots_in_the_names_of_a_path_in_vault_are_names(path: str) -> None:
    assert mistakes({"secrets": {"vault": {"secrets_path": path}}}) == ()


@pytest.mark.parametrize(
    "address", ["https://user:hvs.secret@vault.example", "https://v?t=hvs.secret", "https://v#", "https://["]
)
def test_the_address_of_vault_holds_no_secret(address: str) -> None:
    with pytest.raises(InvalidConfig, match="write an https URL without a user, a query or a fragment") as caught:
        load({"secrets": {"vault": {"enabled": True, "address": address}}}, TABLE)
    assert "hvs." not in str(caught.value)


@pytest.mark.parametrize(
    "address", ["https://vault.example", "https://10.0.0.1:8200/", "https://[::1]:8200/v", "http://localhost:8200"]
)
def test_an_address_of_vault_is_host_port_and_prefix(address: str) -> None:
    assert mistakes({"secrets": {"vault": {"address": address}}}) == ()


@pytest.mark.parametrize("address", ["", "http://vault.example", "http://localhost:80@vault.example", "vault.example"])
def test_vault_is_spoken_to_in_private(address: str) -> None:
    document = {"secrets": {"vault": {"enabled": True, "address": address}}}
    with pytest.raises(InvalidConfig, match=r"\$\.secrets\.vault\.address"):
        load(document, TABLE)
    assert not inspect(json.dumps(document), TABLE, {})[0]


def _values(leaf: Leaf) -> st.SearchStrategy[Any]:
    """Make valid values of a key, from its schema."""
    schema = leaf.schema
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "duration" in schema or "size" in schema:
        bounds = schema.get("duration") or schema["size"]
        return st.sampled_from([bounds["minimum"], bounds["maximum"], schema["default"]])
    if schema["type"] == "integer":
        return st.integers(schema["minimum"], schema["maximum"])
    if schema["type"] == "boolean":
        return st.booleans()
    if schema["type"] == "array":
        return st.sampled_from([schema["default"], *_LISTS.get(leaf.dotted, [])])
    if schema["type"] == "object":
        return st.dictionaries(st.from_regex(r"\A[A-Z][A-Z0-9_]{0,9}\Z"), st.text("abc =,", max_size=9), max_size=3)
    pattern = schema.get("pattern")
    return st.from_regex(re.compile(pattern, re.ASCII), fullmatch=True) if pattern else st.text("a/b.", min_size=1)


_LISTS: dict[str, list[list[Any]]] = {
    "access_control.priority_principals": [["AWS:A:*"], ["AWS:A", "AWS:B"]],
    "validation.system_namespaces": [["team-a", "infra-*"]],
    "audit.destinations": [[{"type": "file", "path": "/var/log/a"}]],
}


@st.composite
def _documents(draw: st.DrawFn) -> dict[str, Any]:
    document: dict[str, Any] = {}
    for leaf in draw(st.lists(st.sampled_from(leaves()), unique=True)):
        put(document, leaf.path, draw(_values(leaf)))
    cluster = document.get("porch", {}).get("cluster", {})
    if cluster.get("eks_cluster"):
        cluster.pop("kubeconfig_secret", None)  # both at once are a mistake
    if cluster:  # what is delivered needs a cluster and a repository, and the other way about
        cluster |= {"delivery": cluster.get("delivery", "package"), "repository": cluster.get("repository") or "edge-1"}
        if not cluster.get("kubeconfig_secret"):
            cluster["eks_cluster"] = cluster.get("eks_cluster") or "edge"
    vault = document.get("secrets", {}).get("vault", {})
    if vault.get("enabled"):
        vault["address"] = vault.get("address") or "https://vault.example"  # likewise one without an address
    return document


@settings(max_examples=100, deadline=None)
@given(_documents())
def test_a_valid_configuration_survives_dump_and_load(document: dict[str, Any]) -> None:
    first = effective(document, {}).values
    again = effective(json.loads(json.dumps(first)), {}).values
    assert json.dumps(again) == json.dumps(first)


@settings(max_examples=10, deadline=None)
@given(st.data())
@pytest.mark.parametrize("key", LEAVES)
def test_the_environment_beats_the_document_for_every_key(key: str, data: st.DataObject) -> None:
    leaf = LEAVES[key]
    mine, theirs = data.draw(_values(leaf)), data.draw(_values(leaf))
    text = theirs if isinstance(theirs, str) else json.dumps(theirs)
    document: dict[str, Any] = {"secrets": {"vault": {"address": "https://vault.example"}}}
    if key != "porch.cluster.kubeconfig_secret":
        document["porch"] = {"cluster": {"eks_cluster": "edge"}}
    put(document, ("porch", "cluster", "repository"), "edge-1")
    put(document, ("porch", "cluster", "delivery"), "package")
    put(document, leaf.path, mine)
    found = effective(document, {leaf.variable: text})
    expected = theirs if text else mine  # an empty variable is none
    assert get(found.values, leaf.path) == expected


def test_two_ways_to_a_cluster_are_a_mistake_wherever_they_are_set() -> None:
    secret = {"CONDUCTOR_PORCH_CLUSTER_KUBECONFIG_SECRET": "arn:aws:secretsmanager:eu-central-1:1:secret:edge-AbCdEf"}
    with pytest.raises(InvalidConfig) as caught:
        load({"porch": {"cluster": {"eks_cluster": "edge", "delivery": "check"}}}, TABLE | secret)
    assert caught.value.problems == (
        "$.porch.cluster: kubeconfig_secret and eks_cluster are both set (environment and document); keep one",
    )


def delivering(delivery: str, **cluster: Any) -> Config:
    return load({"porch": {"cluster": {"delivery": delivery, "eks_cluster": "edge"} | cluster}}, TABLE)


def test_a_porch_repository_reaches_porch_and_beats_its_environment() -> None:
    cluster = {"delivery": "repository", "eks_cluster": "edge", "repository": "edge-1", "publish": True}
    environment = {"PORCH_REPOSITORY": "old", "PORCH_NAMESPACE": "porch"}
    config = load({"porch": {"cluster": cluster, "environment": environment}}, TABLE)
    assert (config.eks_cluster, config.kubeconfig_secret, config.delivery) == ("edge", "", "repository")
    assert config.porch_environment == {
        "PORCH_REPOSITORY": "edge-1",
        "PORCH_NAMESPACE": "porch",
        "PORCH_PUBLISH": "true",
    }


def test_nothing_is_delivered_unless_the_configuration_says_so() -> None:
    assert load({}, TABLE).delivery == "package"
    assert delivering("package", repository="edge-1").porch_environment == {}


def test_how_long_to_wait_for_the_cluster_reaches_porch() -> None:
    assert delivering("scale").porch_environment == {"PORCH_OBSERVE_SECONDS": "10"}
    waiting = delivering("scale", observe="2m", ready=True, repository="edge-1")
    assert waiting.porch_environment == {"PORCH_OBSERVE_SECONDS": "120", "PORCH_READY": "true"}
    assert delivering("check").porch_environment == {}


@pytest.mark.parametrize(
    ("cluster", "says"),
    [
        ({"delivery": "check"}, "check needs a cluster, and none is named; write kubeconfig_secret or eks_cluster"),
        ({"delivery": "scale"}, "scale needs a cluster"),
        ({"delivery": "repository", "repository": "edge-1"}, "repository needs a cluster"),
        ({"delivery": "repository", "eks_cluster": "edge"}, "write porch.cluster.repository"),
        ({"eks_cluster": "edge"}, "nothing says what for; write check, scale, repository or package"),
        ({"kubeconfig_secret": "edge"}, "nothing says what for"),
        ({"repository": "edge-1"}, "nothing says what for"),
        ({"delivery": "by-post", "eks_cluster": "edge"}, 'write one of "package", "check", "scale", "repository"'),
        ({"delivery": "scale", "eks_cluster": "edge", "observe": "0s"}, "write one from 1s to 10m"),
    ],
)
def test_a_delivery_and_what_it_needs_are_judged_together(cluster: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidConfig) as caught:
        load({"porch": {"cluster": cluster}}, TABLE)
    (problem,) = caught.value.problems
    assert problem.startswith("$.porch.cluster.")
    assert says in problem


def test_the_delivery_of_the_template_is_a_default_that_a_document_may_change() -> None:
    environment = {
        **TABLE,
        "CONDUCTOR_PORCH_CLUSTER_EKS_CLUSTER": "edge",
        "CONDUCTOR_DEFAULTS": '{"porch": {"cluster": {"delivery": "scale"}}}',
    }
    assert load({}, environment).delivery == "scale"
    assert load({"porch": {"cluster": {"delivery": "package"}}}, environment).delivery == "package"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"mode": "direct", "mode": "structured"}', 'the key "mode" occurs more than once'),
        ('{"porch": {"environment": {"A": "\\ud800"}}}', r"\$\.porch\.environment\.A: .* half of a surrogate pair"),
        (
            '{"access_control": {"priority_principals": ' + "[" * 990 + "]" * 990 + "}}",
            "nested more than 10 levels",
        ),
        ("[" * 4000 + "]" * 4000, "nested|JSON"),
        ('{"out_dir": "' + "x" * 9000 + '"}', "more than 8192 bytes"),
        ('{"processing": {"resource_limits": {"max_file_descriptors": 1024.0}}}', "write a whole number"),
    ],
)
def test_a_document_that_would_stop_a_function_is_refused(text: str, says: str) -> None:
    with pytest.raises(InvalidConfig, match=says):
        load(parse(text), TABLE)


def test_what_is_called_a_secret_does_not_belong_in_a_document() -> None:
    with pytest.raises(InvalidConfig) as caught:
        load({"porch": {"environment": {"GITHUB_TOKEN": "ghp_abcdef"}}}, TABLE)
    assert "GITHUB_TOKEN" in str(caught.value)
    assert "ghp_abcdef" not in str(caught.value)


@pytest.mark.parametrize(
    "document", [{"secrets": {"vault": "hvs.secret"}}, {"porch": {"environment": {"A": {"PASSWORD": "hvs.secret"}}}}]
)
def test_a_message_repeats_nothing_that_may_be_a_secret(document: dict[str, Any]) -> None:
    with pytest.raises(InvalidConfig) as caught:
        load(document, TABLE)
    assert "hvs." not in str(caught.value)


def test_a_principal_that_is_named_twice_in_a_parameter_is_named_once() -> None:
    found = load({}, TABLE | {"CONDUCTOR_ACCESS_CONTROL_PRIORITY_PRINCIPALS": "AWS:a, AWS:a"})
    assert found.critical_principals == ("AWS:a",)


@pytest.mark.parametrize("value", ["half \ud800 a pair", "x\0y"])
def test_a_value_that_no_program_can_be_given_is_refused(value: str) -> None:
    with pytest.raises(InvalidConfig, match=r"\$\.porch\.environment\.A"):
        effective({"porch": {"environment": {"A": value}}}, {})


def test_contradictions_are_reported_together_and_beside_other_mistakes() -> None:
    document = {
        "mode": "fast",
        "porch": {"cluster": {"eks_cluster": "edge", "kubeconfig_secret": "edge", "delivery": "check"}},
        "secrets": {"vault": {"enabled": True}},
    }
    with pytest.raises(InvalidConfig) as caught:
        load(document, {})
    assert [problem.partition(": ")[0] for problem in caught.value.problems] == [
        "$.mode",
        "$.porch.cluster",
        "$.secrets.vault.address",
        "CONDUCTOR_STATE_TABLE is not set",
        "CONDUCTOR_QUEUE_NORMAL is not set",
    ]


def test_a_certificate_that_is_named_twice_is_a_contradiction() -> None:
    named = [{"subject": "CN=a", "scopes": ["metrics"]}, {"subject": "CN=a", "scopes": ["intents:write"]}]
    with pytest.raises(InvalidConfig, match="a subject is named twice; name it once, with all its scopes"):
        load({"api": {"client_certificates": named}}, TABLE)


def test_a_value_that_cannot_be_parsed_contradicts_no_other() -> None:
    with pytest.raises(InvalidConfig) as caught:
        load({"secrets": {"vault": {"enabled": True, "address": "vault.example"}}}, TABLE)
    assert [problem.partition(":")[0] for problem in caught.value.problems] == ["$.secrets.vault.address"]


@pytest.mark.parametrize("text", ["1_0", "+8", "٣", "8.0", "1e1", "", "9" * 5000])
def test_a_whole_number_of_the_environment_is_digits(text: str) -> None:
    if not text:  # an empty variable is none
        assert effective({}, {"CONDUCTOR_MAX_WORKERS": text}).values["max_workers"] == 4
        return
    with pytest.raises(InvalidConfig, match=r"(?i:max_workers): .*; write a whole number"):
        effective({}, {"CONDUCTOR_MAX_WORKERS": text})


@pytest.mark.parametrize("leaf", [leaf for leaf in leaves() if "pattern" in leaf.schema], ids=lambda leaf: leaf.dotted)
def test_a_line_feed_at_the_end_is_no_part_of_a_value(leaf: Leaf) -> None:
    if leaf.dotted == "porch.environment":
        return
    for value in (leaf.schema["default"], "", "a", "/a", "1m"):
        document: dict[str, Any] = {}
        put(document, leaf.path, f"{value}\n")
        assert mistakes(document), (leaf.dotted, value)


def test_a_member_whose_name_ends_with_a_line_feed_is_none() -> None:
    assert mistakes({"porch": {"environment": {"A\n": "b"}}})
    assert mistakes({"validation": {"system_namespaces": ["team-a\n"]}})


@pytest.mark.parametrize("variable", ["PORCH_ENVIRONMENT", "AUDIT_DESTINATIONS"])
@pytest.mark.parametrize("text", ["[" * 100_000, '[{"a":' * 5000, '{"A": "x", "A": "y"}', "{", '["\\ud800"]', "\udc80"])
def test_json_of_the_environment_is_read_as_strictly_as_the_document(variable: str, text: str) -> None:
    with pytest.raises(InvalidConfig):
        effective({}, {f"CONDUCTOR_{variable}": text})
