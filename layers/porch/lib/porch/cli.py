"""The porch command: one intent in, one package out, one answer on stdout."""

import os
import time

from porch import __version__, directory, flags, intent, package, release
from porch.errors import BUG, CANNOT_START, CANNOT_WRITE, INTERRUPTED, NO_MEMORY, WRONG_USAGE, PorchError
from porch.standing import OFFLINE, Standing

_TEXT = """\
Package successfully created: {package}
Deployment target: {namespace}/{target}
Replicas updated: {change}
{lines}"""
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
  {fields},
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
    standing = _make(change, wanted)
    _tell("Note", standing.notes)
    return _report(_JSON if wanted.structured else _TEXT, change, standing, time.monotonic() - started)


def _make(change: package.Change, wanted: flags.Flags) -> Standing:
    kubeconfig = os.environ.get("KUBECONFIG", "") if wanted.kubeconfig is None else wanted.kubeconfig
    if kubeconfig:
        return _make_online(change, wanted.out, kubeconfig)
    if os.environ.get("PORCH_REPOSITORY"):
        message = "PORCH_REPOSITORY is set, and no cluster to find it in: give -kubeconfig, or unset it"
        raise PorchError(WRONG_USAGE, message)
    directory.write(wanted.out, change.package, package.files(change))
    return OFFLINE


def _make_online(change: package.Change, out: str, kubeconfig: str) -> Standing:
    try:
        from porch.online import Paths, carry_out  # noqa: PLC0415 - what it brings along takes longer than all the rest
    except ImportError as error:
        message = f"porch cannot talk to clusters ({error}): make setup in a checkout, or build the layer again"
        raise PorchError(CANNOT_START, message) from None
    try:
        return carry_out(change, Paths(kubeconfig, out))
    except (PorchError, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001 - named, not quoted: its words may hold a secret
        raise PorchError(BUG, f"porch itself failed ({type(error).__name__}): please report it") from None


def _change(path: str) -> package.Change:
    previous = release.previous_replicas(os.environ.get("PORCH_PREVIOUS_REPLICAS", ""))
    version = release.next_version(os.environ.get("PORCH_PREVIOUS_VERSION", ""))
    wish = intent.load(path)
    return package.Change(wish, release.package_name(wish.target, version), previous)


def _report(template: str, change: package.Change, standing: Standing, seconds: float) -> str:
    return template.format(
        package=change.package,
        namespace=change.intent.namespace,
        target=change.intent.target,
        change=change.replicas,
        previous="null" if change.previous is None else change.previous,
        replicas=change.intent.replicas,
        lines=standing.lines,
        fields=standing.fields,
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
    _tell("Error", error.messages)
    return error.exit_code


def _tell(kind: str, messages: tuple[str, ...]) -> None:
    if not messages:
        return
    try:
        os.write(2, "".join(f"{kind}: {message}\n" for message in messages).encode())
    except OSError:
        return  # nobody listens; the exit code still speaks
