"""What `make setup` begins with: uv and Python 3.13 from wherever a machine has them, or all that is missing."""

from pathlib import Path

import pytest

from tests.unit.machines import Machine, machine

NO_MODULE = "echo 'No module named pip' >&2; exit 1"
UV = 'case $1 in --version) echo "uv {version} (test)" ;; python) {python} ;; esac'
PIP = """\
case "$*" in
  --version | *--version) echo Python 3.9.1 ;;
  *install*--require-hashes*)
    while [ "$1" != --target ]; do shift; done
    mkdir -p "$2/bin"
    cp "$UV_PROGRAM" "$2/bin/uv" ;;
  *) exit 1 ;;
esac"""


@pytest.fixture
def bare(tmp_path: Path) -> Machine:
    return machine(tmp_path)


def preflight(on: Machine, **environment: str) -> tuple[int, str]:
    done = on.run(on.clone / "dev/preflight.sh", **environment)
    assert not done.stdout
    return done.returncode, done.stderr


def fetched(on: Machine) -> str:
    """Ask the uv that was brought for its version."""
    done = on.run(on.clone / ".local/uv/bin/uv", "--version")
    return done.stdout.strip()


def uv(on: Machine, folder: str = "the index", version: str = "0.13.9", python: str = "true") -> str:
    """Put a uv where a pip finds it, and give its path."""
    path = on.programs.parent / folder / "uv"
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{UV.format(version=version, python=python)}\n")
    path.chmod(0o755)
    return str(path)


def test_a_machine_without_anything_hears_of_all_that_is_missing_at_once(bare: Machine) -> None:
    bare.add("df", "echo Filesystem 1024-blocks Used Available; echo /dev/x 9 9 10240")
    code, said = preflight(bare)
    assert code == 1
    before, _, missing = said.partition("This is missing; then `make setup` again:\n")
    assert "setup fetches about" in before
    assert "Python package index" in before
    items = [line.strip(" *") for line in missing.splitlines() if line.startswith("  * ")]
    assert [item.partition(":")[0] for item in items] == ["disk", "python3, or uv", "Python 3.13"]
    assert "10 MB are free" in items[0]
    assert "UV_PYTHON_INSTALL_MIRROR" in missing


@pytest.mark.parametrize(
    ("installer", "command"),
    [
        ("apt-get", "sudo apt-get install python3-venv"),
        ("dnf", "sudo dnf install python3-pip"),
        ("brew", "brew install uv"),
    ],
)
def test_the_command_is_that_of_the_machine(bare: Machine, installer: str, command: str) -> None:
    bare.add(installer, "exit 1")
    bare.add("python3", f"case $1 in --version) echo Python 3.9 ;; *) {NO_MODULE} ;; esac")
    code, said = preflight(bare)
    assert code == 1
    assert f"a pip or a venv for python3, or uv: {command}\n" in said


def test_make_setup_ends_with_the_message_and_makes_nothing(bare: Machine) -> None:
    done = bare.run("make", "setup")
    assert done.returncode
    assert "This is missing" in done.stderr
    assert not list((bare.clone / ".local").glob("*.stamp"))


def test_a_uv_of_the_path_is_taken_and_needs_no_python3(bare: Machine) -> None:
    bare.add("uv", UV.format(version="0.5.0", python="true"))
    assert preflight(bare)[0] == 0
    assert fetched(bare) == "uv 0.5.0 (test)"


def test_one_that_is_too_old_is_passed_over(bare: Machine) -> None:
    bare.add("uv", UV.format(version="0.4.30", python="true"))
    bare.add("python3", PIP)
    assert preflight(bare, UV_PROGRAM=uv(bare))[0] == 0
    assert fetched(bare) == "uv 0.13.9 (test)"


def test_pip_brings_uv_and_no_venv_is_needed(bare: Machine) -> None:
    bare.add("python3", f"case $2 in venv) exit 1 ;; esac\n{PIP}")
    assert preflight(bare, UV_PROGRAM=uv(bare))[0] == 0
    assert fetched(bare) == "uv 0.13.9 (test)"


def test_pyenv_without_python_3_13_lends_the_systems_python(bare: Machine) -> None:
    """Its python3 fails in a folder whose .python-version names one that it does not have."""
    bare.add("python3", f'[ "$PYENV_VERSION" = system ] || {{ echo not installed >&2; exit 127; }}\n{PIP}')
    assert preflight(bare, UV_PROGRAM=uv(bare))[0] == 0
    assert fetched(bare) == "uv 0.13.9 (test)"


def test_so_does_a_venv_where_python3_has_no_pip(bare: Machine) -> None:
    bare.add("pip of the venv", PIP)
    bare.add(
        "python3",
        f"""\
case $2 in
  pip) {NO_MODULE} ;;
  venv) mkdir -p "$3/bin"; cp '{bare.programs}/pip of the venv' "$3/bin/python" ;;
  *) echo Python 3.9.1 ;;
esac""",
    )
    assert preflight(bare, UV_PROGRAM=uv(bare))[0] == 0
    assert fetched(bare) == "uv 0.13.9 (test)"


def test_so_does_the_wheel_of_debians_pip_where_it_has_neither(bare: Machine) -> None:
    """python3 and nothing else, as Debian installs it; nothing is installed, and no root is needed."""
    bare.add("apt-get", 'for last; do :; done; [ "$last" = update ] || touch "${last}_1_all.deb"')
    bare.add("dpkg-deb", 'd="$3/usr/share/python-wheels"; mkdir -p "$d"; touch "$d/pip-23.0-py3-none-any.whl"')
    wheel = f"case $1 in *.whl/pip) {PIP.replace('*install*', 'install*').replace('case', 'shift; case')} ;; esac"
    bare.add("python3", f"case $2 in pip | venv) {NO_MODULE} ;; esac; {wheel}")
    assert preflight(bare, UV_PROGRAM=uv(bare))[0] == 0
    assert fetched(bare) == "uv 0.13.9 (test)"


def test_an_index_that_gives_nothing_is_named_with_what_to_set(bare: Machine) -> None:
    bare.add("python3", "case $* in *install*) echo no route to host >&2; exit 1 ;; esac")
    bare.add("python3.13", "true")
    code, said = preflight(bare)
    assert code == 1
    assert "the Python package index does not give it" in said
    assert "PIP_INDEX_URL" in said
    assert "HTTPS_PROXY" in said
    assert "  * Python 3.13" not in said
    assert "no route to host" in (bare.clone / ".local/setup.log").read_text()


def test_python_that_uv_cannot_fetch_is_named_with_what_to_set(bare: Machine) -> None:
    bare.add("uv", UV.format(version="0.13.9", python="exit 1"))
    code, said = preflight(bare)
    assert code == 1
    assert said.count("  * ") == 1
    assert "  * Python 3.13: not on the PATH, and not fetched by uv" in said


def test_a_folder_that_may_not_be_written_to_is_named(bare: Machine) -> None:
    (bare.clone / ".local").write_text("a file, and so no folder can be made")
    code, said = preflight(bare)
    assert code == 1
    assert said.startswith(f"make setup writes to {bare.clone}, and may not")


@pytest.mark.parametrize(
    ("packages", "expected"),
    [(("promtool", "prometheus"), "promtool"), (("prometheus",), "prometheus"), ((), None), (("empty",), None)],
)
def test_promtool_comes_from_its_own_package_or_that_of_prometheus(
    bare: Machine, packages: tuple[str, ...], expected: str | None
) -> None:
    """Its own in Debian 13 and newer Ubuntus; without either, setup goes on and says so."""
    has = " | ".join([*packages, "update"]).replace("empty", "prometheus")
    bare.add("apt-get", f'for last; do :; done; case $last in {has}) touch "${{last}}_1.deb" ;; *) exit 100 ;; esac')
    unpack = 'mkdir -p "$3/usr/bin"; new=$3/usr/bin/promtool; echo "#!/bin/sh\necho $2" >"$new"; chmod 755 "$new"'
    bare.add("dpkg-deb", "exit" if "empty" in packages else unpack)
    done = bare.run(bare.clone / "dev/promtool.sh")
    assert done.returncode == 0
    brought = bare.clone / ".local/promtool/promtool"
    if expected:
        assert bare.run(brought).stdout == f"{expected}_1.deb\n"
        assert not done.stderr
    else:
        assert not brought.exists()
        assert "are skipped, and fail in CI, until Prometheus is installed" in done.stderr


def test_a_promtool_of_the_path_is_taken(bare: Machine) -> None:
    bare.add("promtool", "echo mine")
    assert bare.run(bare.clone / "dev/promtool.sh").returncode == 0
    assert bare.run(bare.clone / ".local/promtool/promtool").stdout == "mine\n"
