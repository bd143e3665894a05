"""How porch ends, and what that means."""

import errno
import json
import os
import re
import signal
from pathlib import Path

import pytest

from conductor_loop.errors import Cause
from conductor_loop.porch.report import explain
from conductor_loop.porch.workspace import Unusable

from .porches import GOOD, Bench

INTENT_SCHEMA = Path(__file__).parents[2] / "schemas/intent.schema.json"


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        (1, Cause.INVALID_INTENT),
        (2, Cause.DEPLOYMENT_NOT_FOUND),
        (3, Cause.INSUFFICIENT_PERMISSIONS),
        (4, Cause.NETWORK_ERROR),
        (5, Cause.QUOTA_EXCEEDED),
        (6, Cause.PORCH_FAILED),
        (42, Cause.PORCH_FAILED),
        (124, Cause.PROCESSING_TIMEOUT),
        (125, Cause.PORCH_NOT_FOUND),
        (126, Cause.PORCH_PERMISSION_DENIED),
        (127, Cause.PORCH_NOT_FOUND),
        (137, Cause.MEMORY_LIMIT),
        (255, Cause.PORCH_FAILED),
    ],
)
def test_an_exit_code_has_its_cause(bench: Bench, code: int, cause: Cause) -> None:
    failed = bench.failure(bench.program(f"{GOOD}; exit {code}"))
    assert (failed.cause, failed.run.exit_code) == (cause, code)


@pytest.mark.parametrize(
    ("number", "cause"),
    [
        (signal.SIGKILL, Cause.MEMORY_LIMIT),
        (signal.SIGTERM, Cause.PORCH_KILLED),
        (signal.SIGSEGV, Cause.PORCH_KILLED),
        (signal.SIGXFSZ, Cause.DISK_FULL),
        (signal.SIGRTMIN + 1, Cause.PORCH_KILLED),
    ],
)
def test_a_killed_porch_is_never_a_success(bench: Bench, number: int, cause: Cause) -> None:
    failed = bench.failure(bench.program(f"{GOOD}; kill -{int(number)} $$"))
    assert (failed.cause, failed.run.exit_code) == (cause, -number)


def test_a_lost_exit_status_is_never_a_success(bench: Bench) -> None:
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel throws exit statuses away
    try:
        assert bench.failure(bench.program(GOOD)).cause is Cause.PORCH_KILLED
    finally:
        signal.signal(signal.SIGCHLD, before)


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        ("MemoryError", Cause.MEMORY_LIMIT),
        ("object type name: MemoryError", Cause.MEMORY_LIMIT),
        ("fatal error: runtime: out of memory", Cause.MEMORY_LIMIT),
        ("sh: 1: cannot fork: Cannot allocate memory", Cause.MEMORY_LIMIT),
        ("OSError: [Errno 28] No space left on device", Cause.DISK_FULL),
        ("reason: the MemoryError of yesterday", Cause.INVALID_INTENT),
    ],
)
def test_last_words_distinguish_want_of_memory_or_disk_from_a_bad_intent(
    bench: Bench, words: str, cause: Cause
) -> None:
    assert bench.failure(bench.program(f"echo '{words}' >&2; exit 1")).cause is cause


def test_a_failure_says_what_porch_said_last_and_what_to_do(bench: Bench) -> None:
    failed = bench.failure(bench.program("echo trying >&2; echo 'deployment x: not found' >&2; echo >&2; exit 2"))
    assert str(failed) == (
        "porch did not find the Deployment (exit code 2), it said last: 'deployment x: not found'; "
        "create the Deployment or correct the intent, and send it again."
    )


@pytest.mark.parametrize("code", [2, 3, 4, 5])
def test_a_next_step_that_porch_names_itself_is_not_followed_by_another(bench: Bench, code: int) -> None:
    words = "Error: an autoscaler would undo it: lower spec.minReplicas"
    message = str(bench.failure(bench.program(f"echo '{words}' >&2; exit {code}")))
    assert message.endswith(f", it said last: '{words}'.")


def test_a_next_step_that_is_cut_off_is_followed_by_another(bench: Bench) -> None:
    message = str(bench.failure(bench.program(f"echo 'Error: {'a' * 600}: lower it' >&2; exit 5")))
    assert message.endswith("'; raise the limit, or ask for fewer replicas.")


def test_every_failure_names_a_next_step_in_one_line(bench: Bench) -> None:
    for code in range(1, 130):
        if code in {1, 5, 42, 124, 126, 127}:
            message = str(bench.failure(bench.program(f"exit {code}")))
            assert "; " in message
            assert "\n" not in message


def test_a_missing_porch_was_never_started(bench: Bench) -> None:
    failed = bench.failure("/nowhere/porch")
    assert (failed.cause, failed.run.exit_code) == (Cause.PORCH_NOT_FOUND, None)


def test_a_missing_interpreter_is_a_porch_not_found(bench: Bench) -> None:
    assert bench.failure(bench.program(GOOD, "/nowhere/sh")).cause is Cause.PORCH_NOT_FOUND


def test_a_porch_that_is_not_executable_is_denied(bench: Bench) -> None:
    path = bench.program(GOOD)
    Path(path).chmod(0o644)
    assert bench.failure(path).cause is Cause.PORCH_PERMISSION_DENIED


def test_a_porch_of_no_executable_format_is_denied(bench: Bench) -> None:
    path = bench.program(GOOD)
    Path(path).write_bytes(b"\x7fELF, but no more")
    failed = bench.failure(path)
    assert failed.cause is Cause.PORCH_PERMISSION_DENIED
    assert os.strerror(errno.ENOEXEC) in str(failed)


def test_the_message_of_a_timeout_names_the_field_to_change() -> None:
    said = explain(Unusable(Cause.PROCESSING_TIMEOUT, "porch was ended"), "")
    (field,) = re.findall(r"(\w+) of the intent", said)
    assert field in json.loads(INTENT_SCHEMA.read_text())["properties"]
