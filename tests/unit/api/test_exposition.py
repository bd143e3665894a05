from dataclasses import replace

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from conductor_loop import counting
from conductor_loop.api.exposition import CONTENT_TYPE
from conductor_loop.catalogue import BUILD_INFO, CATALOGUE
from conductor_loop.config.typed import GROUPS, Metering
from conductor_loop.intents.model import Outcome
from conductor_loop.storage.measures import Counts
from dev.catalogue import OF_LIBRARY
from tests.promtool import findings, needs_promtool
from tests.serving import Api, hangs

SPECIFIED = {
    'conductor_files_processed_total{status="success"}',
    'conductor_files_processed_total{status="failed"}',
    'conductor_files_processing_duration_seconds_bucket{le="1"}',
    'conductor_files_processing_duration_seconds_bucket{le="5"}',
    'conductor_files_processing_duration_seconds_bucket{le="10"}',
    'conductor_files_processing_duration_seconds_bucket{le="+Inf"}',
    "conductor_queue_size",
    "conductor_active_workers",
    "conductor_max_workers",
    "conductor_state_entries_total",
    'conductor_state_operations_total{operation="load"}',
    'conductor_state_operations_total{operation="save"}',
    'conductor_state_operations_total{operation="cleanup"}',
    "conductor_state_file_size_bytes",
    'conductor_porch_execution_duration_seconds_bucket{le="1"}',
    'conductor_porch_execution_duration_seconds_bucket{le="5"}',
    'conductor_porch_execution_duration_seconds_bucket{le="10"}',
    'conductor_porch_execution_duration_seconds_bucket{le="+Inf"}',
    "conductor_porch_timeout_total",
    'conductor_porch_executions_total{mode="direct"}',
    'conductor_porch_executions_total{mode="structured"}',
    'conductor_file_operations_total{operation="move_processed"}',
    'conductor_file_operations_total{operation="move_failed"}',
    'conductor_file_operations_total{operation="cleanup"}',
    'conductor_directory_files{directory="handoff"}',
    'conductor_directory_files{directory="processed"}',
    'conductor_directory_files{directory="failed"}',
    "process_cpu_seconds_total",
    "process_memory_bytes",
    "process_open_fds",
    "process_start_time_seconds",
    'conductor_errors_total{code="E001"}',
    'conductor_errors_total{code="E012"}',
}
DIRECTORIES = {"directory_handoff": 3, "directory_processed": 150, "directory_failed": 5}


@pytest.fixture
def api() -> Api:
    api = Api(counts=Counts(gauges=DIRECTORIES))
    api.serve(max_workers=4)
    return api


def scraped(api: Api) -> dict[str, float]:
    text = api.ask("GET", "/metrics", token=api.client())["body"]
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def families(api: Api) -> dict[str, Metric]:
    """Return what is reported, by the names that a query has."""
    text = api.ask("GET", "/metrics", token=api.client())["body"]
    reported = {family.name: family for family in text_string_to_metric_families(text)}
    return {f"{name}_total" if one.type == "counter" else name: one for name, one in reported.items()}


def test_every_metric_of_the_specification_is_there_with_its_labels(api: Api) -> None:
    assert scraped(api).keys() >= SPECIFIED


def test_what_is_counted_is_what_is_reported(api: Api) -> None:
    error = {"code": "E007", "error_code": "PROCESSING_TIMEOUT"}
    outcome = Outcome({"status": "timeout", "mode": "direct", "error_details": error}, "failed")
    api.counts = Counts(counting.count(outcome, counting.Journey(6.5, 6.0, waited=70)).tally)
    found = scraped(api)
    assert found['conductor_files_processed_total{status="timeout"}'] == 1
    assert found['conductor_errors_total{code="E007"}'] == 1
    assert found['conductor_file_operations_total{operation="move_failed"}'] == 1
    assert found["conductor_porch_timeout_total"] == 1
    buckets = [found[f'conductor_files_processing_duration_seconds_bucket{{le="{le}"}}'] for le in (1, 5, 10, "+Inf")]
    assert buckets == [0, 0, 1, 1]
    assert found["conductor_files_processing_duration_seconds_sum"] == 6.5
    assert found["conductor_state_entries_total"] == 1250
    waits = [found[f'conductor_queueing_duration_seconds_bucket{{le="{le}",priority="normal"}}'] for le in (60, 300)]
    assert waits == [0, 1]


def test_the_backlog_is_reported_by_priority_and_dead_letters_separately(api: Api) -> None:
    found = scraped(api)
    assert [found[f'conductor_queue_messages{{priority="{one}"}}'] for one in ("high", "normal", "low")] == [0, 2, 0]
    assert (found["conductor_queue_size"], found["conductor_dead_letters"]) == (2, 1)


def test_there_are_counterparts_of_the_metrics_of_gos_runtime(api: Api) -> None:
    found = scraped(api)
    names = ("python_heap_inuse_bytes", "python_stack_inuse_bytes", "python_threads")
    assert [found[name] for name in names] == [8_388_608, 655_360, 15]


@pytest.mark.parametrize(
    ("group", "gone", "left"),
    [
        ("file_processing", "conductor_files_processed_total", "conductor_porch_timeout_total"),
        ("state_management", "conductor_state_entries_total", "conductor_queue_size"),
        ("porch_integration", "conductor_porch_timeout_total", "conductor_queue_size"),
        ("file_manager", "conductor_file_operations_total", "conductor_queue_size"),
        ("system_metrics", "process_cpu_seconds_total", "conductor_queue_size"),
    ],
)
def test_a_group_that_is_switched_off_is_not_reported(api: Api, group: str, gone: str, left: str) -> None:
    assert {gone, left} <= families(api).keys()
    api.config = replace(api.config, metering=Metering(groups=frozenset(GROUPS) - {group}))
    assert gone not in families(api)
    assert left in families(api)


def test_every_sample_has_the_labels_of_the_configuration(api: Api) -> None:
    api.config = replace(api.config, metering=Metering(labels={"cluster": "main", "region": "us-west-2"}))
    labelled = [sample.labels for family in families(api).values() for sample in family.samples]
    assert all(labels.items() >= {"cluster": "main", "region": "us-west-2"}.items() for labels in labelled)


def test_what_is_reported_is_what_the_catalogue_names(api: Api) -> None:
    swept = ("swept_overdue", "oldest_high", "oldest_normal", "oldest_low")
    api.counts = Counts({}, DIRECTORIES | dict.fromkeys(swept, 0))
    found = families(api)
    assert found.keys() == {one.prometheus for one in CATALOGUE if one.prometheus} | {BUILD_INFO, *OF_LIBRARY}
    for metric in CATALOGUE:
        if metric.label and metric.prometheus:
            samples = found[metric.prometheus].samples
            assert {sample.labels[metric.label] for sample in samples} == set(metric.values)


def test_a_counter_without_a_value_is_not_reported(api: Api) -> None:
    api.counts = Counts()
    api.serve(max_workers=None)
    assert not {name for name in scraped(api) if name.startswith(("conductor_directory", "conductor_max"))}


def test_it_is_prometheuss_text_format(api: Api) -> None:
    response = api.ask("GET", "/metrics", token=api.client())
    assert response["headers"]["Content-Type"] == CONTENT_TYPE == "text/plain; version=0.0.4; charset=utf-8"
    families = list(text_string_to_metric_families(response["body"]))
    assert all(family.documentation for family in families)
    assert len({family.name for family in families}) == len(families)


@needs_promtool
def test_promtool_has_no_findings(api: Api) -> None:
    text = api.ask("GET", "/metrics", token=api.client())["body"]
    assert not findings("check", "metrics", text=text)


@needs_promtool
def test_promtool_sees_what_is_wrong() -> None:
    assert "no help text" in findings("check", "metrics", text="# TYPE conductor_x gauge\nconductor_x 1\n")


def test_a_scrape_fails_rather_than_report_half(api: Api) -> None:
    api.queue_size = hangs
    assert api.ask("GET", "/metrics", token=api.client())["statusCode"] == 503
