"""Machines for `make` and the scripts of dev/: a PATH of what is given, and system programs as BSD has them."""

import os
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from dev.stack import ROOT

# The options without a long form that macOS has of each; `install -D` and `sed -i` with nothing behind it it has not.
BSD = {
    "awk": "Fvf", "cat": "benstuv", "chmod": "fhRv", "cp": "afHiLlnPpRvX", "df": "abgHhiklmnPTt", "dirname": "",
    "find": None, "grep": "EFGHILRbcefhilnoqrsvwx", "install": "bCcdpSsvBfgmoMN", "ln": "fFhinsv", "ls": "AaCFlhRrt1",
    "mkdir": "mpv", "mktemp": "dqtu", "mv": "fhinv", "rm": "dfiIPRrvW", "rmdir": "pv", "sed": "Eanfel", "sh": "ecux",
    "sort": "bcdfghiknrstuV", "tail": "Fbcfnqr", "touch": "Aacfhmrt", "tr": "Ccdsu", "uname": "amnprsv",
}  # fmt: skip
_STRICT = """\
#!/bin/sh
# Refuses what only GNU's program has.
refuse() {{ echo "{name}: illegal option -- $1" >&2; exit 64; }}
for one in "$@"; do case $one in
  --) break ;;
  --*) refuse "$one" ;;
  -?*) case ${{one#-}} in *[!{letters}]*) refuse "$one" ;; esac ;;
esac; done
exec {real} "$@"
"""
_FIND = """\
#!/bin/sh
case $1 in -*) echo "find: illegal option -- $1" >&2; exit 64 ;; esac
for one in "$@"; do case $one in
  -printf | -executable | -readable | -regextype | -quit | --*) echo "find: $one: unknown primary" >&2; exit 64 ;;
esac; done
exec {real} "$@"
"""


@dataclass(frozen=True)
class Machine:
    """A clone of what the recipes need, and the programs that are on the PATH."""

    clone: Path
    programs: Path

    def add(self, name: str, script: str) -> Path:
        """Put a shell script on the PATH."""
        return program(self.programs / name, script)

    def run(self, *command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the clone; `make` is found though it is not on the PATH."""
        found = [shutil.which(command[0]) or command[0], *command[1:]] if command[0] == "make" else [*command]
        variables = {"PATH": str(self.programs), "HOME": "/dev/null/home", **environment}
        return subprocess.run(found, cwd=self.clone, env=variables, capture_output=True, text=True, check=False)


def machine(folder: Path, *, spaces: bool = True) -> Machine:
    """Make one, in a path with spaces; it has neither Python, nor uv, nor a way to install something."""
    made = Machine(folder / ("a clone" if spaces else "clone"), folder / ("the programs" if spaces else "programs"))
    for name in ("Makefile", "dev", "requirements", "layers", "src", "pyproject.toml"):
        source, target = ROOT / name, made.clone / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("vendor", "__pycache__"))
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
    for name, letters in BSD.items():
        real = shlex.quote(shutil.which(name, path=os.defpath) or shutil.which(name) or name)
        script = _FIND.format(real=real) if letters is None else _STRICT.format(name=name, letters=letters, real=real)
        program(made.programs / name, script)
    return made


def program(path: Path, script: str) -> Path:
    """Write a program; a script without a first line of its own is one for the shell."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(script if script.startswith("#!") else f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path
