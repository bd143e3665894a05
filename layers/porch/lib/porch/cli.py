"""The porch command: one intent in, one package out, one answer on stdout."""

import os
import time

from porch import __version__, delivery, directory, flags, intent, package, release
from porch.errors import BUG, CANNOT_START, CANNOT_WRITE, INTERRUPTED, NO_MEMORY, PorchError
from porch.standing import Standing

_TEXT = """\
{made}
Deployment target: {namespace}/{target}
Replicas {done}: {change}
Delivery: {delivery}
{dry}{lines}"""
# A template, not json.dumps, which imports re: every value is a checked name, a number or a time and needs no escape.
_JSON = """\
{{
  "status": "{status}",
  "package_name": "{package}",
  "delivery": "{delivery}",
  "deployment": {{
    "namespace": "{namespace}",
    "name": "{target}",
    "previous_replicas": {previous},
    "new_replicas": {replicas}{observed}
  }}{dry_field}{fields},
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
    try:
        standing = _make(change, wanted)
    except PorchError as error:
        if error.standing:  # it did something at the cluster, and that is worth a report
            _print(_report(change, error.standing, wanted, started, "failed"))
        raise
    _tell("Note", standing.notes)
    return _report(change, standing, wanted, started, "success")


def _make(change: package.Change, wanted: flags.Flags) -> Standing:
    kubeconfig = os.environ.get("KUBECONFIG", "") if wanted.kubeconfig is None else wanted.kubeconfig
    named = (os.environ.get(name, "") for name in ("PORCH_DELIVERY", "PORCH_REPOSITORY"))
    chosen = delivery.delivery_of(next(named), kubeconfig, next(named))
    if chosen != delivery.PACKAGE:
        return _make_online(change, wanted, kubeconfig, chosen)
    directory.write(wanted.out, change.package, package.files(change))
    return Standing(chosen)


def _make_online(change: package.Change, wanted: flags.Flags, kubeconfig: str, chosen: str) -> Standing:
    try:
        from porch.online import Call, carry_out  # noqa: PLC0415 - what it brings along takes longer than all the rest
    except ImportError as error:
        message = f"porch cannot talk to clusters ({error}): make setup in a checkout, or build the layer again"
        raise PorchError(CANNOT_START, message) from None
    try:
        return carry_out(change, Call(chosen, kubeconfig, wanted.out, wanted.dry_run))
    except (PorchError, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001 - named, not quoted: its words may hold a secret
        raise PorchError(BUG, f"porch itself failed ({type(error).__name__}): please report it") from None


def _change(path: str) -> package.Change:
    previous = release.previous_replicas(os.environ.get("PORCH_PREVIOUS_REPLICAS", ""))
    version = release.next_version(os.environ.get("PORCH_PREVIOUS_VERSION", ""))
    wish = intent.load(path)
    return package.Change(wish, release.package_name(wish.target, version), previous)


def _report(change: package.Change, standing: Standing, wanted: flags.Flags, started: float, status: str) -> str:
    observed = "" if standing.observed is None else f"Replicas observed: {standing.observed}\n"
    known = "" if standing.observed is None else f',\n    "observed_replicas": {standing.observed}'
    return (_JSON if wanted.structured else _TEXT).format(
        status=status,
        made=f"Package {'successfully created' if status == 'success' else 'not delivered'}: {change.package}",
        delivery=standing.delivery,
        package=change.package,
        namespace=change.intent.namespace,
        target=change.intent.target,
        done="updated" if status == "success" or standing.observed is not None else "wanted",
        change=change.replicas,
        previous="null" if change.previous is None else change.previous,
        replicas=change.intent.replicas,
        observed=known,
        dry="Dry run: nothing was changed elsewhere\n" if wanted.dry_run else "",
        dry_field=',\n  "dry_run": true' if wanted.dry_run else "",
        lines=observed + standing.lines,
        fields=standing.fields,
        timestamp=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        duration=time.monotonic() - started,
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
