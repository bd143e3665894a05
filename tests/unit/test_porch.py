"""What porch is given, what it says, and what it leaves."""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from conductor_loop.errors import Cause
from conductor_loop.porch import Credentials, Kubeconfig, Limits, Mode, NoDryRun, Porch, PorchFailed, PorchRequest

from .porches import GOOD, INTENT, LIMITED, Bench

REPORT = {
    "status": "success",
    "package_name": "cnf-simulator-v1.2.3",
    "deployment": {"namespace": "oran-sim", "name": "cnf-simulator", "previous_replicas": 1, "new_replicas": 3},
    "timestamp": "2024-08-15T10:30:45Z",
    "duration": "2.45s",
}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
def structured(tmp_path: Path) -> Bench:
    return Bench(tmp_path, mode=Mode.STRUCTURED)


# ---------------------------------------------------------------- what porch is given


def test_porch_gets_the_intent_under_its_own_name(bench: Bench) -> None:
    bench.run(bench.program(f"cp $2 $aside; {GOOD}"), "intent-scale-up-001.json")
    assert json.loads((bench.aside / "intent-scale-up-001.json").read_text()) == INTENT


def test_a_file_name_that_is_no_intents_is_refused(bench: Bench) -> None:
    with pytest.raises(ValueError, match="intent"):
        bench.run(bench.program(GOOD), "../intent-a.json")


def test_arguments_are_those_of_the_specification(bench: Bench) -> None:
    bench.run(bench.program(f'echo "$1 $3 $#" > $aside/arguments; {GOOD}'))
    assert (bench.aside / "arguments").read_text() == "-intent -out 4\n"


def test_structured_mode_adds_its_flag(structured: Bench) -> None:
    structured.run(structured.program(f"echo $5 > $aside/flag; echo x > $4/Kptfile; echo '{json.dumps(REPORT)}'"))
    assert (structured.aside / "flag").read_text() == "-structured\n"


def test_a_dry_run_comes_first_among_the_arguments_of_a_porch_whose_help_names_it(bench: Bench) -> None:
    program = bench.program(
        "echo \"$*\" >> $aside/calls; [ $1 = -help ] && echo 'usage: -dry-run' && exit; shift; " + GOOD
    )
    result = Porch(program, work_root=bench.root).run(PorchRequest("intent-a.json", INTENT, 20, dry_run=True))
    assert result.package.name == "cnf-simulator-v1.0.0"
    helped, made = (bench.aside / "calls").read_text().splitlines()
    assert (helped, made.split()[:2]) == ("-help", ["-dry-run", "-intent"])


def test_a_porch_that_knows_no_dry_run_is_given_neither_intent_nor_kubeconfig(bench: Bench) -> None:
    program = bench.program(f"echo $* $KUBECONFIG >> $aside/calls; cat intent-a.json >> $aside/calls; {GOOD}")
    given = Kubeconfig(b"apiVersion: v1", frozenset())
    porch = Porch(program, work_root=bench.root, credentials=Credentials(lambda: given, lambda found: found))
    with pytest.raises(NoDryRun, match="knows no dry run"):
        porch.run(PorchRequest("intent-a.json", INTENT, 20, dry_run=True))
    assert (bench.aside / "calls").read_text() == "-help\n"


def test_a_porch_that_is_missing_fails_a_dry_run_as_it_fails_any_other(bench: Bench) -> None:
    with pytest.raises(PorchFailed) as failed:
        Porch("/nowhere/porch", work_root=bench.root).run(PorchRequest("intent-a.json", INTENT, 20, dry_run=True))
    assert failed.value.cause is Cause.PORCH_NOT_FOUND


def test_the_environment_is_exactly_the_documented_one(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "ours")
    bench.environment = {"PORCH_REPOSITORY": "edge"}
    bench.previous = ("v1.0.3", 0)
    began = time.time()
    bench.run(bench.program(f"cp /proc/$$/environ $aside/environ; {GOOD}"))
    given = dict(line.split("=", 1) for line in (bench.aside / "environ").read_text().rstrip("\0").split("\0"))
    work = Path(given["HOME"]).parent
    assert work.parent == bench.root
    assert began < float(given.pop("PORCH_DEADLINE")) < time.time() + bench.timeout_seconds
    assert given == {
        "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin:/opt/bin",
        "LD_LIBRARY_PATH": f"{sys.base_prefix}/lib",
        "HOME": str(work / "home"),
        "TMPDIR": str(work / "tmp"),
        "LANG": "C.UTF-8",
        "PORCH_REPOSITORY": "edge",
        "PORCH_PREVIOUS_VERSION": "v1.0.3",
        "PORCH_PREVIOUS_REPLICAS": "0",
    }


def test_the_configuration_cannot_change_what_is_fixed(bench: Bench) -> None:
    bench.environment = {"PATH": "/nowhere", "PORCH_PREVIOUS_VERSION": "v9.9.9", "PORCH_DEADLINE": "9", "A": "b"}
    bench.run(bench.program(f'echo "$A $PATH $PORCH_PREVIOUS_VERSION $PORCH_DEADLINE" > $aside/seen; {GOOD}'))
    seen = (bench.aside / "seen").read_text()
    assert "/usr/bin" in seen
    assert "v9.9.9" not in seen
    assert seen.startswith("b ")
    assert not seen.endswith(" 9\n")


def test_the_deadline_of_a_run_is_never_after_the_end_of_its_lease(bench: Bench) -> None:
    program = bench.program(f'echo "$PORCH_DEADLINE $PORCH_DELIVERY" > $aside/seen; {GOOD}')
    porch = Porch(path=program, work_root=bench.root, delivery="scale")
    porch.run(PorchRequest("intent-a.json", dict(INTENT), 20.0, not_after=12.5))
    assert (bench.aside / "seen").read_text() == "12.500 scale\n"


def test_porch_runs_in_its_work_directory_in_its_own_session_with_nothing_open(bench: Bench) -> None:
    seen = bench.aside / "seen"
    with (bench.aside / "ours").open("w") as ours:
        os.set_inheritable(ours.fileno(), True)
        bench.run(
            bench.python(
                """
                open_now = sorted(int(name) for name in os.listdir("/proc/self/fd"))
                facts = [os.getcwd() == os.path.dirname(sys.argv[2]), os.getsid(0) == os.getpid() == os.getpgid(0),
                         open_now[:3] == [0, 1, 2] and len(open_now) == 4, sys.stdin.read() == ""]
                open(aside + "/seen", "w").write(repr(facts))
                open(sys.argv[4] + "/Kptfile", "w").write("x")
                print("Package successfully created: p")
                """
            )
        )
    assert seen.read_text() == "[True, True, True, True]"


def test_porch_runs_under_the_limits(bench: Bench) -> None:
    bench.limits = Limits(memory_bytes=256 * 1024**2, file_descriptors=64, file_bytes=1024**2)
    bench.run(bench.python(LIMITS_REPORT))
    assert json.loads((bench.aside / "limits").read_text()) == [0, 256 * 1024**2, 64, 1024**2]


LIMITS_REPORT = f"""{LIMITED}
import json
kinds = ["CORE", "DATA", "NOFILE", "FSIZE"]
limits = [resource.getrlimit(getattr(resource, "RLIMIT_" + kind)) for kind in kinds]
open(aside + "/limits", "w").write(json.dumps([hard for soft, hard in limits if soft == hard]))
open(sys.argv[4] + "/Kptfile", "w").write("x")
print("Package successfully created: p")
"""


def test_a_relative_path_means_relative_to_us(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path(bench.program(GOOD))
    monkeypatch.chdir(path.parent)
    assert bench.run(f"./{path.name}").run.exit_code == 0


# ---------------------------------------------------------------- what porch says


def test_a_run_reports_exit_code_output_and_duration(bench: Bench) -> None:
    result = bench.run(bench.program(f"{GOOD}; echo note >&2"))
    assert (result.run.exit_code, result.run.stderr) == (0, "note\n")
    assert result.run.stdout == "Package successfully created: cnf-simulator-v1.0.0\n"
    assert result.run.duration_seconds > 0


def test_a_structured_report_is_returned(structured: Bench) -> None:
    result = structured.run(structured.program(f"echo x > $4/Kptfile; echo '{json.dumps(REPORT)}'"))
    assert result.report == REPORT
    assert result.package.name == "cnf-simulator-v1.2.3"


@pytest.mark.parametrize(
    "said",
    [
        "",
        "Package successfully created: cnf-simulator-v1.2.3",
        "[]",
        "[" * 100_000,
        "\xff",
        REPORT | {"status": "failed"},
        REPORT | {"package_name": "../escape"},
        REPORT | {"package_name": 7},
        REPORT | {"deployment": None},
        REPORT | {"deployment": {"namespace": "other", "name": "cnf-simulator", "new_replicas": 3}},
        REPORT | {"deployment": {"namespace": "oran-sim", "name": "cnf-simulator", "new_replicas": 4}},
        REPORT | {"deployment": {"namespace": "oran-sim", "name": "cnf-simulator"}},
    ],
    ids=range(12),
)
def test_a_structured_report_that_is_not_the_documented_one_is_a_failure(structured: Bench, said: Any) -> None:
    text = said if isinstance(said, str) else json.dumps(said)
    (structured.aside / "said").write_bytes(text.encode("latin-1"))
    failed = structured.failure(structured.program("echo x > $4/Kptfile; cat $aside/said"))
    assert failed.cause is Cause.PORCH_OUTPUT_INVALID
    assert failed.run.exit_code == 0


def test_true_is_not_one_replica(structured: Bench) -> None:
    structured.document = INTENT | {"replicas": 1}
    report = REPORT | {"deployment": {"namespace": "oran-sim", "name": "cnf-simulator", "new_replicas": True}}
    failed = structured.failure(structured.program(f"echo x > $4/Kptfile; echo '{json.dumps(report)}'"))
    assert failed.cause is Cause.PORCH_OUTPUT_INVALID


def test_what_is_shown_of_the_output_controls_no_terminal(bench: Bench) -> None:
    result = bench.run(bench.program(f"printf 'a\\033[2Jb\\r\\tc\\000\\302\\205\\342\\200\\256\\377\\n'; {GOOD}"))
    assert result.run.stdout.startswith("a[2Jb\tc\ufffd\n")


def test_of_a_long_output_the_beginning_and_the_end_are_kept(bench: Bench) -> None:
    bench.limits = Limits(kept_output_bytes=20)
    failed = bench.failure(bench.program("echo first >&2; seq 10000 >&2; echo the last >&2; exit 42"))
    assert failed.run.stderr == "first\n1\n2\n\n[48889 bytes left out]\n\nthe last\n"


# ---------------------------------------------------------------- what porch leaves


def test_the_package_is_the_directory_of_its_name(bench: Bench) -> None:
    result = bench.run(bench.program("mkdir -p $4/p/sub; echo a > $4/p/Kptfile; echo b > $4/p/sub/b.yaml"))
    assert result.package.name == "p"
    assert result.package.files == {"Kptfile": b"a\n", "sub/b.yaml": b"b\n"}


def test_a_package_may_lie_in_out_itself(bench: Bench) -> None:
    result = bench.run(bench.program(GOOD))
    assert result.package.name == "cnf-simulator-v1.0.0"
    assert result.package.files == {"Kptfile": b"kind: Kptfile\n"}


def test_with_files_beside_the_directory_all_of_out_is_the_package(bench: Bench) -> None:
    result = bench.run(
        bench.program("mkdir $4/p; echo a > $4/p/a; echo b > $4/b; echo 'Package successfully created: p'")
    )
    assert result.package.files == {"b": b"b\n", "p/a": b"a\n"}


def test_a_directory_of_another_name_is_a_part_of_the_package(bench: Bench) -> None:
    result = bench.run(bench.program("mkdir $4/q; echo a > $4/q/a; echo 'Package successfully created: p'"))
    assert (result.package.name, result.package.files) == ("p", {"q/a": b"a\n"})


def test_a_package_without_a_name_is_refused(bench: Bench) -> None:
    assert bench.failure(bench.program("echo a > $4/Kptfile")).cause is Cause.PORCH_OUTPUT_INVALID


@pytest.mark.parametrize("name", ["..", "../p", "a/b", "P", "-p", "p-", "a..b", "a b", "p" * 254])
def test_a_package_name_that_is_no_kubernetes_name_is_refused(bench: Bench, name: str) -> None:
    failed = bench.failure(bench.program(f"echo a > $4/Kptfile; echo 'Package successfully created: {name}'"))
    assert failed.cause is Cause.PORCH_OUTPUT_INVALID


@pytest.mark.parametrize("name", ["p", "cnf-simulator-v1.2.3", "0", "p" * 253])
def test_a_package_name_may_be_any_kubernetes_name(bench: Bench, name: str) -> None:
    result = bench.run(bench.program(f"echo a > $4/Kptfile; echo 'Package successfully created: {name}'"))
    assert result.package.name == name


@pytest.mark.parametrize("text", ["", "mkdir -p $4/p/q", "echo a > $HOME/Kptfile"])
def test_success_without_a_file_is_a_missing_package(bench: Bench, text: str) -> None:
    failed = bench.failure(bench.program(f"{text}\necho 'Package successfully created: p'"))
    assert failed.cause is Cause.PACKAGE_MISSING


@pytest.mark.parametrize("environment", [{"A": "\ud800"}, {"A": "x\0y"}, {"A=B": "x"}])
def test_a_variable_that_no_program_can_be_given_is_a_porch_that_was_not_started(
    bench: Bench, environment: dict[str, str]
) -> None:
    bench.environment = environment
    failed = bench.failure(bench.program(GOOD))
    assert (failed.cause, failed.run.exit_code) == (Cause.PORCH_PERMISSION_DENIED, None)


def test_the_packages_name_is_found_in_the_middle_of_much_text(bench: Bench) -> None:
    much = "head -c 9000 /dev/zero | tr '\\0' x; echo"
    result = bench.run(bench.program(f"echo x > $4/Kptfile; {much}; echo 'Package successfully created: p'; {much}"))
    assert result.package.name == "p"
    assert "successfully" not in result.run.stdout
