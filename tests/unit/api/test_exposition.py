import pytest
from prometheus_client.parser import text_string_to_metric_families

from conductor_loop import counting
from conductor_loop.api.exposition import CONTENT_TYPE
from conductor_loop.api.parts import Counts
from conductor_loop.lifecycle import Outcome, State
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
DIRECTORIES = {"handoff": 3, "processed": 150, "failed": 5}


@pytest.fixture
def api() -> Api:
    api = Api(counts=Counts(directories=DIRECTORIES))
    api.serve(max_workers=4)
    return api


def scraped(api: Api) -> dict[str, float]:
    text = api.ask("GET", "/metrics", token=api.client())["body"]
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def test_every_metric_of_the_specification_is_there_with_its_labels(api: Api) -> None:
    assert scraped(api).keys() >= SPECIFIED


def test_what_is_counted_is_what_is_told(api: Api) -> None:
    outcome = Outcome(State.TIMED_OUT, {"status": "timeout", "error_details": {"code": "E007"}}, "failed")
    tally = counting.decided(outcome, 6.5, counting.PorchRun("direct", 6.0, timed_out=True))
    api.counts = Counts(tally)
    found = scraped(api)
    assert found['conductor_files_processed_total{status="timeout"}'] == 1
    assert found['conductor_errors_total{code="E007"}'] == 1
    assert found['conductor_file_operations_total{operation="move_failed"}'] == 1
    assert found["conductor_porch_timeout_total"] == 1
    buckets = [found[f'conductor_files_processing_duration_seconds_bucket{{le="{le}"}}'] for le in (1, 5, 10, "+Inf")]
    assert buckets == [0, 0, 1, 1]
    assert found["conductor_files_processing_duration_seconds_sum"] == 6.5
    assert found["conductor_state_entries_total"] == 1250


def test_what_nobody_has_counted_yet_is_not_told(api: Api) -> None:
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


def test_a_scrape_fails_rather_than_tell_half(api: Api) -> None:
    api.active_workers = hangs
    assert api.ask("GET", "/metrics", token=api.client())["statusCode"] == 503
