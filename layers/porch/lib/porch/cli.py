"""The porch command: one intent in, one package out, one answer on stdout."""

import os
import time
from argparse import Namespace

from porch import package, release, report
from porch.command import parse
from porch.delivery import PACKAGE, choose
from porch.errors import BUG, CANNOT_START, CANNOT_WRITE, INTERRUPTED, NO_MEMORY, PorchError
from porch.intent import load


def main(argv: list[str]) -> int:
    """Run porch with these arguments and return its exit code; ``porch -help`` lists them all."""
    started = time.monotonic()
    try:
        _run(parse(argv), started)
    except PorchError as error:
        return _fail(error)
    except MemoryError:
        return _fail(PorchError(NO_MEMORY, "out of memory: raise the limit, or send a smaller intent"))
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001 - left alone, Python exits 1, and a good intent would pass for an invalid one
        return _fail(PorchError(BUG, f"porch itself failed ({error!r}): please report it"))
    return 0


def _run(flags: Namespace, started: float) -> None:
    previous, version = release.previous_replicas(), release.next_version()
    intent = load(flags.intent)
    change = package.Change(intent, release.package_name(intent.target, version), previous)

    def answer(outcome: report.Outcome) -> None:
        outcome.is_dry_run = flags.dry_run
        seconds = time.monotonic() - started
        _print(report.document(change, outcome, seconds) if flags.structured else report.text(change, outcome))

    try:
        outcome = _deliver(change, flags)
    except report.DeliveryError as error:
        answer(error.outcome)
        raise
    _tell("Note", outcome.notes)
    answer(outcome)


def _deliver(change: package.Change, flags: Namespace) -> report.Outcome:
    kubeconfig = os.environ.get("KUBECONFIG", "") if flags.kubeconfig is None else flags.kubeconfig
    delivery = choose(kubeconfig)
    if delivery == PACKAGE:
        package.write(flags.out, change)
        return report.Outcome(delivery)
    try:
        from porch.online import deliver  # noqa: PLC0415 - not needed offline, and starts ten times as long
    except ImportError as error:
        message = f"porch cannot talk to clusters ({error}): make setup in a checkout, or build the layer again"
        raise PorchError(CANNOT_START, message) from None
    try:
        return deliver(change, delivery, kubeconfig, flags)
    except (PorchError, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001 - named, not quoted: its words may hold a secret
        raise PorchError(BUG, f"porch itself failed ({type(error).__name__}): please report it") from None


def _print(text: str) -> None:
    # To the descriptor: sys.stdout keeps a failed write for the interpreter's exit, and is None when closed.
    try:
        os.write(1, text.encode())
    except OSError as error:
        message = f"the answer cannot be printed ({error.strerror}), the package is written: check stdout"
        raise PorchError(CANNOT_WRITE, message) from None


def _fail(error: PorchError) -> int:
    _tell("Error", error.messages)
    return error.exit_code


def _tell(kind: str, messages: tuple[str, ...]) -> None:
    try:
        os.write(2, "".join(f"{kind}: {message}\n" for message in messages).encode())
    except OSError:
        return  # stderr is closed, the exit code remains
