"""Every recipe of every Makefile, in a path with spaces, with the system programs as BSD and macOS have them."""

import re
import subprocess
from pathlib import Path

import pytest

from dev.stack import ROOT
from tests.unit.machines import Machine, machine, program

MAKEFILES = ("Makefile", "layers/library/Makefile", "layers/porch/Makefile", "src/Makefile")
FUNCTIONS = re.findall(r"\bbuild-\w+", re.findall(r"^\.PHONY:.*", (ROOT / "src/Makefile").read_text(), re.MULTILINE)[0])
TARGETS = re.findall(r"^([a-z][a-z-]*):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE)
# What make 3.81 and bash 3.2, macOS's, pass over or refuse.
TOO_NEW = {
    "make": r"^\.(?:SHELLFLAGS|ONESHELL|EXTRA_PREREQS)\b|^\w+ *(?:::=|!=)|^undefine |\$\((?:file|intcmp|let|guile) ",
    "sh": r"\[\[|\bmapfile\b|\breadarray\b|declare -[An]|&>|\$\{\w+(?:,,?|\^\^?)\}|\bcoproc\b|\blocal -n\b",
}
# Writes down where it runs, its arguments, and the folders that it is to write to.
_RECORD = """\
for one in "$PWD" "${0##*/}" "$@"; do printf '%s|' "$one"; done >>"$RECORD"
echo "$UV_CACHE_DIR|$PIP_CACHE_DIR|$UV_PYTHON_INSTALL_DIR|$__SAM_CLI_APP_DIR|$SAM_CLI_TELEMETRY" >>"$RECORD"
"""
_UV = f"""{_RECORD}
for last; do :; done
case "$1 $2" in
  --version*) echo "uv 0.13.9 (test)" ;;
  "pip compile") touch "$last" ;;
  "pip sync") for one in python python3.13 pytest ruff mypy sam cfn-lint checkov; do
    cp "$PROGRAM" "$VIRTUAL_ENV/bin/$one"; done ;;
  venv*) mkdir -p "$last/bin" ;;
esac"""
# A Python that installs what the layers' recipes take away again, or take over.
_PYTHON = f"""{_RECORD}
target() {{ while [ "$1" != --target ]; do shift; done; echo "$2"; }}
case "$*" in *--target*)
  to=$(target "$@")
  mkdir -p "$to/bin" "$to/boto3/examples" "$to/boto3/data" "$to/botocore/data" "$to/yaml/deep er" "$to/regex/tests"
  touch "$to/yaml/_yaml.so"
  case "$*" in *aarch64*) touch "$to/deep.aarch64.so" "$to/yaml/deep er/_rpds.aarch64-linux-gnu.so" ;; esac
esac"""


@pytest.fixture
def mac(tmp_path: Path) -> Machine:
    made = machine(tmp_path)
    made.add("uv", _UV)
    made.add("python3.13", _PYTHON)
    program(tmp_path / "a program", _PYTHON)
    made.add("apt-get", "exit 1")
    return made


def make(on: Machine, *arguments: str, **environment: str) -> list[list[str]]:
    """Run make; what programs were called with: the folder, the program, its arguments."""
    record = on.clone.parent / "record"
    record.write_text("")
    shims = {"RECORD": str(record), "PROGRAM": str(on.clone.parent / "a program")}
    done = on.run("make", *arguments, **shims, **environment)
    assert done.returncode == 0, done.stderr
    assert "illegal option" not in done.stderr
    return [line.split("|") for line in record.read_text().splitlines()]


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_of_make_runs(mac: Machine, target: str) -> None:
    calls = make(mac, target)
    assert calls or target == "help"
    assert {Path(call[0]) for call in calls} <= {mac.clone, mac.clone / "layers/porch"}


def test_a_second_setup_has_nothing_to_do(mac: Machine) -> None:
    make(mac, "setup", "CI=")
    program(mac.clone / ".local/promtool/promtool", "true")
    assert make(mac, "setup") == []


def test_each_step_of_setup_is_one_line_and_the_first_says_what_to_expect(mac: Machine) -> None:
    shims = {"RECORD": "/dev/null", "PROGRAM": str(mac.clone.parent / "a program")}
    lines = mac.run("make", "setup", **shims).stderr.splitlines()
    steps = [line.partition(":")[0] for line in lines if line.startswith("setup ") and "/" in line.partition(":")[0]]
    assert steps == [f"setup {number}/7" for number in range(1, 8)]
    assert re.match(r"setup fetches about \d+ MB", lines[0])
    assert any("minute" in line for line in lines[:2])


def test_words_given_to_make_stay_whole(mac: Machine) -> None:
    (call,) = [call for call in make(mac, "up", "PORCH=my own/porch", "PORT=4600") if "dev.stack" in call]
    assert call[2:9] == ["-m", "dev.stack", "up", "--port", "4600", "--porch", "my own/porch"]


def test_caches_are_in_the_clone_and_sam_sends_nothing_home(mac: Machine) -> None:
    places = {tuple(call[-5:]) for call in make(mac, "setup")}
    cache = mac.clone / ".local/cache"
    assert places == {(*(str(cache / name) for name in ("uv", "pip", "python", "sam")), "0")}


def test_a_cache_that_the_environment_names_is_used(mac: Machine) -> None:
    places = {tuple(call[-5:-3]) for call in make(mac, "setup", UV_CACHE_DIR="/my/uv", PIP_CACHE_DIR="/my/pip")}
    assert places == {("/my/uv", "/my/pip")}


def test_the_demo_and_the_stack_wait_for_nothing_that_only_tests_need(mac: Machine) -> None:
    for target in ("demo", "up", "down"):
        make(mac, target)
    assert not (mac.clone / ".local/promtool").exists()
    assert not (mac.clone / ".local/schemathesis.stamp").exists()


@pytest.mark.parametrize("layer", ["library", "porch"])
def test_a_layer_is_built(mac: Machine, layer: str) -> None:
    artifacts = mac.clone / ".local/sam build/Layer"
    artifacts.mkdir(parents=True)
    make(mac, "-C", f"layers/{layer}", f"build-{layer.title()}Layer", ARTIFACTS_DIR=str(artifacts))
    built = {str(path.relative_to(artifacts)) for path in artifacts.rglob("*") if path.is_file()}
    if layer == "library":
        assert built == {"python/deep.aarch64.so", "python/yaml/deep er/_rpds.aarch64-linux-gnu.so"}
    else:
        modules = {f"lib/{path.relative_to(ROOT / 'layers/porch/lib')}" for path in sources(ROOT / "layers/porch/lib")}
        assert built == {"bin/porch", "lib/vendor/.made", *modules}
        assert (artifacts / "bin/porch").stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("target", FUNCTIONS)
def test_a_function_is_built(mac: Machine, target: str) -> None:
    artifacts = mac.clone / ".local/sam build/Function"
    artifacts.mkdir(parents=True)
    make(mac, "-C", "src", target, ARTIFACTS_DIR=str(artifacts))
    assert (artifacts / "conductor_loop/handlers.py").is_file()
    assert not (artifacts / "conductor_loop/cli").exists()


def test_no_makefile_is_left_out() -> None:
    listing = ["git", "ls-files", "Makefile", "*/Makefile"]
    found = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert sorted(found) == sorted(MAKEFILES)


def sources(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*.py") if "vendor" not in path.parts]


@pytest.mark.parametrize("file", MAKEFILES)
def test_a_makefile_has_nothing_that_make_3_81_does_not_know(file: str) -> None:
    assert re.findall(TOO_NEW["make"], (ROOT / file).read_text(), re.MULTILINE) == []


@pytest.mark.parametrize("file", [".ci/run", *sorted(str(one.relative_to(ROOT)) for one in ROOT.glob("dev/*.sh"))])
def test_a_script_has_nothing_that_bash_3_2_does_not_know(file: str) -> None:
    assert re.findall(TOO_NEW["sh"], (ROOT / file).read_text()) == []


def test_the_machine_of_these_tests_refuses_what_only_gnu_has(mac: Machine) -> None:
    gnu = ("install -m 755 -D a b", "sed -i s/a/b/ a", "cp --parents a b", "find . -printf %p", "touch -d x a", "tac")
    for script in gnu:
        assert mac.run("/bin/sh", "-c", script).returncode, script
