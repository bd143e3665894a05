import sys
from pathlib import Path

import pytest

from conductor_loop.errors import Cause
from conductor_loop.porch import Limits, Package
from tests.factories import component

from .porches import Bench

COMPONENT = component("a")
SAY = "echo 'Package successfully created: p'"


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path, limits=Limits(package_files=20, package_bytes=10_000, grace_seconds=0.1))


@pytest.mark.parametrize(
    "text",
    [
        "ln -s /etc/passwd $4/passwd",
        "ln -s Kptfile $4/inside",
        "ln -s / $4/root",
        "rmdir $4; ln -s /etc $4",
        "rmdir $4",
        "rmdir $4; : > $4",
        "mkfifo $4/fifo",
        "ln $2 $4/Kptfile",
        ": > $HOME/a; ln $HOME/a $4/a",
        ": > $4/a; ln $4/a $4/b",
        f"exec {sys.executable} -IS -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"out/s\")'",
    ],
)
def test_anything_but_plain_files_of_its_own_is_refused(bench: Bench, text: str) -> None:
    assert bench.failure(bench.program(f"{SAY}\n{text}")).cause is Cause.PACKAGE_UNSAFE


def test_a_device_is_refused(bench: Bench) -> None:
    failed = bench.failure(bench.program(f"{SAY}\nmknod $4/null c 1 3 || : > $PWD/not-allowed"))
    assert failed.cause is Cause.PACKAGE_UNSAFE


@pytest.mark.parametrize(
    "text",
    [
        ": > escape",
        ": > $4/../escape",
        "mkdir escape",
        "echo changed > $2",
        "echo longer >> $2",
        "rm $2",
        "rm $2; ln -s /etc/passwd $2",
        "rm $2; mkfifo $2",
    ],
)
def test_writing_beside_its_directory_is_refused(bench: Bench, text: str) -> None:
    failed = bench.failure(bench.program(f"{SAY}\n: > $4/Kptfile; {text}"))
    assert failed.cause is Cause.PACKAGE_UNSAFE
    assert "wrote outside its directory" in str(failed)


def test_home_and_tmpdir_are_there_to_be_littered(bench: Bench) -> None:
    text = f"{SAY}; : > $4/Kptfile; ln -s / $HOME/x; mkfifo $TMPDIR/y; mkdir -p $HOME/.cache/porch"
    assert bench.run(bench.program(text)).package.files == {"Kptfile": b""}


@pytest.mark.parametrize(
    "text",
    [
        "for n in $(seq 21); do : > $4/$n; done",
        "for n in $(seq 21); do mkdir $4/$n; done",
        "head -c 10001 /dev/zero > $4/a",
        "head -c 5001 /dev/zero > $4/a; head -c 5000 /dev/zero > $4/b",
        "truncate -s 1G $4/sparse",
        "mkdir -p $4/1/2/3/4/5/6/7/8",
    ],
)
def test_a_package_over_its_bounds_is_refused(bench: Bench, text: str) -> None:
    bench.limits = Limits(package_files=20, package_bytes=10_000, file_bytes=2 * 1024**3)
    assert bench.failure(bench.program(f"{SAY}; {text}")).cause is Cause.PACKAGE_UNSAFE


def test_a_package_at_its_bounds_is_taken(bench: Bench) -> None:
    text = "for n in $(seq 20); do head -c 500 /dev/zero > $4/$n; done; mkdir -p $4/1d/2/3/4/5/6/7"
    assert len(bench.run(bench.program(f"{SAY}; {text}")).package.files) == 20


@pytest.mark.parametrize(
    "name",
    [
        r"a\nb",
        r"\033[2J",
        r"\377",
        r"a\\b",
        "a..b",
        " a",
        r"\342\200\256gpj.exe",
        r"o\314\210",
        "x" * 201 + "/" + "x" * 201,
    ],
)
def test_a_name_that_is_not_safe_in_a_key_is_refused(bench: Bench, name: str) -> None:
    text = f"""{SAY}; mkdir -p "$(dirname "$4/$(printf '{name}')")"; : > "$4/$(printf '{name}')" """
    assert bench.failure(bench.program(text)).cause is Cause.PACKAGE_UNSAFE


def test_names_may_be_in_any_language(bench: Bench) -> None:
    text = f"{SAY}; : > $4/größe.yaml; : > $4/規模.yaml; : > '$4/with space'; : > '$4/.hidden'"
    files = bench.run(bench.program(text.replace("'$4", "$4'"))).package.files
    assert sorted(files) == [".hidden", "größe.yaml", "with space", "規模.yaml"]


NONE: dict[str, dict[str, bytes]] = {
    "no kustomization": {"Kptfile": b"-"},
    "in a folder": {"below/kustomization.yaml": COMPONENT},
    "no component": {"kustomization.yaml": b"apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n"},
    "of another kind": {"kustomization.yaml": COMPONENT.replace(b"Component", b"ComponentList")},
    "of another API": {"kustomization.yaml": COMPONENT.replace(b"kustomize.", b"example.")},
    "in a comment": {"kustomization.yaml": b"# " + COMPONENT.replace(b"\n", b"\n# ")},
    "with a patch beside it": {
        "kustomization.yaml": COMPONENT + b"patches: [{path: patch.yaml}]\n",
        "patch.yaml": b"-",
    },
    "with a folder beside it": {"kustomization.yaml": COMPONENT + b"resources: [./more]\n", "more/a.yaml": b"-"},
    "not UTF-8": {"kustomization.yaml": b"\xff\xfe"},
    "JSON that is none": {"kustomization.yaml": b'{"kind": "Component"'},
    "JSON of another kind": {"kustomization.yaml": b'{"kind": "Component"}'},
}


@pytest.mark.parametrize("files", NONE.values(), ids=NONE)
def test_a_package_may_have_no_component(files: dict[str, bytes]) -> None:
    assert Package("p", files).component is None


@pytest.mark.parametrize(
    "written",
    [
        COMPONENT.replace(b"Component", b"'Component'  # of ours"),
        b"---\n" + COMPONENT.replace(b"\n", b"\r\n"),
        b' {"kind": "Component", "apiVersion": "kustomize.config.k8s.io/v1alpha1"}\n',
    ],
)
def test_a_component_is_recognized_however_it_is_written(written: bytes) -> None:
    files = {"kustomization.yaml": written, "Kptfile": b"Kptfile", "README.md": b"-"}
    assert Package("p", files).component == written
