"""A run with a kubeconfig: porch alone can read it, and nothing of it is left or shown."""

import json
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from conductor_loop.errors import Cause, NoCredentials
from conductor_loop.porch import (
    Credentials,
    Kubeconfig,
    Limits,
    Mode,
    Porch,
    PorchFailed,
    PorchRequest,
    Result,
    with_token,
)

from .porches import GOOD, INTENT, Bench

TOKEN = "token-" + "s3cr3t" * 8
GIVEN = with_token("https://edge.example.com", "Q0E=", TOKEN)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def porch(bench: Bench, text: str, *, mode: Mode = Mode.DIRECT, given: Kubeconfig = GIVEN) -> Porch:
    credentials = Credentials(lambda: given, lambda found: found)
    return replace(bench.porch(bench.program(text)), credentials=credentials, mode=mode)


def run(porch: Porch, timeout_seconds: float = 20.0) -> Result:
    return porch.run(PorchRequest("intent-a.json", INTENT, timeout_seconds))


def failure(porch: Porch, timeout_seconds: float = 20.0) -> PorchFailed:
    with pytest.raises(PorchFailed) as caught:
        run(porch, timeout_seconds)
    return caught.value


def test_only_porch_finds_the_kubeconfig(bench: Bench) -> None:
    look = 'stat -c "%a %n" $KUBECONFIG > $aside/mode; cp $KUBECONFIG $aside/copy'
    run(porch(bench, f"{look}; {GOOD}"))
    mode, path = (bench.aside / "mode").read_text().split()
    assert (mode, Path(path).name, Path(path).parent.parent) == ("600", "kubeconfig", bench.root)
    assert (bench.aside / "copy").read_bytes() == GIVEN.content


@pytest.mark.parametrize("end", [GOOD, "exit 1", "kill -9 $$", "sleep 60"])
def test_the_kubeconfig_is_gone_however_porch_ends(bench: Bench, end: str) -> None:
    bench.limits = Limits(grace_seconds=0.1)
    try:
        run(porch(bench, end), timeout_seconds=1)
    except PorchFailed:
        assert end != GOOD
    assert list(bench.root.rglob("*")) == []


def test_without_credentials_there_is_no_kubeconfig_whatever_the_environment_says(bench: Bench) -> None:
    bench.environment = {"KUBECONFIG": "/etc/kubernetes/admin.conf"}
    bench.run(bench.program(f'echo "kubeconfig: $KUBECONFIG" > $aside/seen; ls .. > /dev/null; {GOOD}'))
    assert (bench.aside / "seen").read_text() == "kubeconfig: \n"


def test_porch_may_change_its_kubeconfig(bench: Bench) -> None:
    assert run(porch(bench, f"echo '# current-context' >> $KUBECONFIG; {GOOD}")).run.exit_code == 0


def test_a_kubeconfig_of_porchs_own_is_a_file_outside_its_directory(bench: Bench) -> None:
    assert bench.failure(bench.program(f"echo x > kubeconfig; {GOOD}")).cause is Cause.PACKAGE_UNSAFE


# ---------------------------------------------------------------- what porch says


def test_a_token_that_porch_prints_is_masked_on_success(bench: Bench) -> None:
    result = run(porch(bench, f"cat $KUBECONFIG; cat $KUBECONFIG >&2; echo; {GOOD}"))
    assert TOKEN not in repr(result)
    assert '"token": "[secret]"' in result.run.stdout
    assert "https://edge.example.com" in result.run.stderr, "what is no secret can be read"


def test_a_token_that_porch_prints_is_masked_on_failure(bench: Bench) -> None:
    failed = failure(porch(bench, f"cat $KUBECONFIG >&2; echo >&2; echo denied: {TOKEN} >&2; exit 42"))
    assert TOKEN not in f"{failed} {failed.run}"
    assert "[secret]" in str(failed), "its last line is quoted"


def test_a_token_in_a_structured_report_is_masked_even_where_it_is_escaped(bench: Bench) -> None:
    report = {
        "status": "success",
        "package_name": "p",
        "deployment": {"namespace": "oran-sim", "name": "cnf-simulator", "new_replicas": 3},
        "notes": [TOKEN, {TOKEN: 1}],
    }
    text = json.dumps(report).replace("token-", "\\u0074oken-")
    (bench.aside / "said").write_text(text)
    result = run(porch(bench, "echo x > $4/Kptfile; cat $aside/said", mode=Mode.STRUCTURED))
    assert result.report is not None
    assert result.report["notes"] == ["[secret]", {"[secret]": 1}]


def test_a_token_is_masked_when_porch_is_ended_in_the_middle_of_it(bench: Bench) -> None:
    failed = failure(porch(bench, f"printf %s {TOKEN[:40]} >&2; sleep 60"), timeout_seconds=1)
    assert failed.cause is Cause.PROCESSING_TIMEOUT
    assert failed.run.stderr == "[secret]"


@pytest.mark.parametrize(
    "packs",
    [
        "cp $KUBECONFIG $4/kubeconfig.yaml",
        f"echo x > $4/{TOKEN}",
        f"mkdir $4/{TOKEN}; echo x > $4/{TOKEN}/Kptfile",
        f"(head -c 2000000 /dev/zero; echo {TOKEN}) > $4/data",
    ],
)
def test_a_package_with_a_token_in_it_is_refused(bench: Bench, packs: str) -> None:
    failed = failure(porch(bench, f"{packs}; {GOOD}"))
    assert failed.cause is Cause.PACKAGE_UNSAFE
    assert TOKEN not in str(failed)


def test_a_package_with_a_word_in_it_that_is_a_short_password_too_is_taken(bench: Bench) -> None:
    given = with_token("https://edge.example.com", "Q0E=", "simulator")
    result = run(porch(bench, f"{GOOD}; echo simulator >> $4/Kptfile; echo simulator", given=given))
    assert b"simulator" in b"".join(result.package.files.values())
    assert "[secret]" in result.run.stdout


def test_a_token_in_a_name_that_is_complained_of_is_masked(bench: Bench) -> None:
    failed = failure(porch(bench, f"echo x > {TOKEN}; {GOOD}"))
    assert failed.cause is Cause.PACKAGE_UNSAFE
    assert "outside its directory: '[secret]'" in str(failed)
    assert failed.__suppress_context__, "and no log line gets the words before they were masked"


# ---------------------------------------------------------------- without credentials


@pytest.mark.parametrize("cause", [Cause.INSUFFICIENT_PERMISSIONS, Cause.NETWORK_ERROR, Cause.NO_CREDENTIALS])
def test_without_its_credentials_porch_is_not_started(bench: Bench, cause: Cause) -> None:
    def read() -> Kubeconfig:
        raise NoCredentials(cause, "the secret edge is refused: it takes a permission")

    started = replace(porch(bench, "touch $aside/started"), credentials=Credentials(read, lambda found: found))
    failed = failure(started)
    assert (failed.cause, failed.run.exit_code) == (cause, None)
    assert str(failed) == "porch was not started: the secret edge is refused: it takes a permission."
    assert not (bench.aside / "started").exists()


def test_what_the_credentials_took_porch_has_not(bench: Bench) -> None:
    def read() -> Kubeconfig:
        threading.Event().wait(0.8)
        return GIVEN

    late = replace(porch(bench, "sleep 60"), credentials=Credentials(read, lambda found: found))
    failed = failure(late, timeout_seconds=1)
    assert failed.cause is Cause.PROCESSING_TIMEOUT
    assert failed.run.duration_seconds < 0.8


@pytest.mark.parametrize(("code", "asked"), [(3, 2), (4, 2), (1, 1), (2, 1), (42, 1)])
def test_what_a_cluster_refused_is_asked_for_again(bench: Bench, code: int, asked: int) -> None:
    asks: list[int] = []

    def read() -> Kubeconfig:
        asks.append(1)
        return GIVEN

    now = iter(range(0, 1000, 20))
    credentials = Credentials(read, lambda found: found, clock=lambda: float(next(now)))
    tried = replace(porch(bench, f"exit {code}"), credentials=credentials)
    failure(tried)
    failure(tried)
    assert len(asks) == asked
