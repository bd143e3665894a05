from conductor_loop.config import load

BASE = {"CONDUCTOR_STATE_TABLE": "state", "CONDUCTOR_QUEUE_NORMAL": "https://sqs/normal"}


def test_the_defaults_are_the_specifications_limits() -> None:
    serving = load({}, BASE).serving
    assert (serving.per_minute, serving.per_hour, serving.burst) == (100, 1000, 10)
    assert (serving.health_authenticated, serving.metrics_authenticated, serving.docs) == (False, True, False)


def test_the_most_workers_are_those_of_all_queues_times_the_batch() -> None:
    wired = BASE | {"CONDUCTOR_WORKERS": "4 4 2 10"}
    assert load({}, wired).serving.max_workers == 100
    assert load({"processing": {"priority_queues": False}}, wired).serving.max_workers is None
    assert load({}, BASE).serving.max_workers is None


def test_client_certificates_have_the_scopes_that_the_document_gives_them() -> None:
    document = {"api": {"client_certificates": [{"subject": "CN=scraper", "scopes": ["metrics"]}]}}
    assert load(document, BASE).serving.certificates == {"CN=scraper": frozenset({"metrics"})}


def test_the_role_of_the_api_may_put_critical_intents_beside_those_that_the_configuration_names() -> None:
    document = {"access_control": {"priority_principals": ["AWS:AROAEXAMPLE:oncall-*"]}}
    wired = BASE | {"CONDUCTOR_API_PRINCIPAL": "AWS:AROAAPI:*"}
    assert load(document, wired).critical_principals == ("AWS:AROAEXAMPLE:oncall-*", "AWS:AROAAPI:*")
