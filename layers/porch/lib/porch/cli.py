"""The porch command: one intent in, one package out, one answer on stdout."""

import os
import time

from porch import __version__, directory, flags, intent, package, release
from porch.errors import BUG, CANNOT_WRITE, INTERRUPTED, NO_MEMORY, PorchError

_TEXT = """\
Package successfully created: {package}
Deployment target: {namespace}/{target}
Replicas updated: {change}
"""
# A template, not json.dumps, which imports re: every value is a checked name, a number or a time and needs no escape.
_JSON = """\
{{
  "status": "success",
  "package_name": "{package}",
  "deployment": {{
    "namespace": "{namespace}",
    "name": "{target}",
    "previous_replicas": {previous},
    "new_replicas": {replicas}
  }},
  "timestamp": "{timestamp}",
  "duration": "{duration:.2f}s"
}}
"""


def main(argv: list[str]) -> int:
    """Run porch with these arguments and return its exit code; ``porch -help`` lists them all."""
    try:
        _print(_answer(flags.parse(argv), time.monotonic()))
    except PorchError as error:
        return _complain(error)
    except MemoryError:
        return _complain(PorchError(NO_MEMORY, "out of memory: raise the limit, or send a smaller intent"))
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001 - left alone, Python exits 1, and a good intent would pass for an invalid one
        return _complain(PorchError(BUG, f"porch itself failed ({error!r}): please report it"))
    return 0


def _answer(wanted: flags.Flags, started: float) -> str:
    if wanted.help:
        from porch.usage import USAGE  # noqa: PLC0415 - a run that needs no help does not load it

        return USAGE
    if wanted.version:
        return f"porch {__version__}\n"
    flags.require_paths(wanted)
    change = _change(wanted.intent)
    directory.write(wanted.out, change.package, package.files(change))
    return _report(_JSON if wanted.structured else _TEXT, change, time.monotonic() - started)


def _change(path: str) -> package.Change:
    previous = release.previous_replicas(os.environ.get("PORCH_PREVIOUS_REPLICAS", ""))
    version = release.next_version(os.environ.get("PORCH_PREVIOUS_VERSION", ""))
    wish = intent.load(path)
    return package.Change(wish, release.package_name(wish.target, version), previous)


def _report(template: str, change: package.Change, seconds: float) -> str:
    return template.format(
        package=change.package,
        namespace=change.intent.namespace,
        target=change.intent.target,
        change=change.replicas,
        previous="null" if change.previous is None else change.previous,
        replicas=change.intent.replicas,
        timestamp=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        duration=seconds,
    )


def _print(text: str) -> None:
    # Straight to the descriptor: sys.stdout keeps a failed write for the interpreter's exit, and is None when closed.
    try:
        os.write(1, text.encode())
    except OSError as error:
        message = f"the answer cannot be printed ({error.strerror}), the package is written: check stdout"
        raise PorchError(CANNOT_WRITE, message) from None


def _complain(error: PorchError) -> int:
    try:
        os.write(2, "".join(f"Error: {message}\n" for message in error.messages).encode())
    except OSError:
        return error.exit_code  # nobody listens; the exit code still speaks
    return error.exit_code
