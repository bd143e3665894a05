"""The command line, read the way Go programs read theirs: ``-out D``, ``-out=D``, ``--out D``.

By hand, because argparse alone takes longer to import than porch takes to run.
"""

from porch.errors import WRONG_USAGE, PorchError

_WITH_VALUE = ("intent", "out", "kubeconfig")
_NEEDED = ("intent", "out")
_SWITCHES = {"dry-run": "dry_run", "structured": "structured", "help": "help", "h": "help", "version": "version"}
_TRUTH = {"": True, "=true": True, "=1": True, "=false": False, "=0": False}


class Flags:
    """What the caller asked for."""

    __slots__ = ("dry_run", "help", "intent", "kubeconfig", "out", "structured", "version")

    def __init__(self) -> None:
        self.intent = self.out = ""
        self.kubeconfig: str | None = None  # "": offline, whatever the environment says
        self.dry_run = self.structured = self.help = self.version = False


def parse(argv: list[str]) -> Flags:
    """Read ``argv``, without the program's name."""
    flags = Flags()
    words = iter(argv)
    for word in words:
        name, equals, value = word.removeprefix("-").removeprefix("-").partition("=")
        if not word.startswith("-") or not name:
            raise _wrong(f"unexpected argument {word!a}")
        if name in _WITH_VALUE:
            setattr(flags, name, value if equals else next(words, ""))
        elif name in _SWITCHES:
            setattr(flags, _SWITCHES[name], _truth(word, equals + value))
        else:
            raise _wrong(f"unknown flag {word!a}")
    return flags


def require_paths(flags: Flags) -> None:
    """Refuse a command line that does not say what to read and where to write."""
    for name in _NEEDED:
        if not getattr(flags, name):
            raise _wrong(f"-{name} needs a path")


def _truth(word: str, suffix: str) -> bool:
    if suffix not in _TRUTH:
        raise _wrong(f"{word!a} is neither true nor false")
    return _TRUTH[suffix]


def _wrong(what: str) -> PorchError:
    return PorchError(WRONG_USAGE, f"{what}; run porch -help for the usage")
