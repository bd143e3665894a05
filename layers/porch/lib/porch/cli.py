"""The porch command: one intent in, one package out, its outcome on stdout. Go's long flags: one dash or two."""

import argparse
import os
import time

from porch import __version__, package, report
from porch.errors import BUG, CANNOT_START, CANNOT_WRITE, INTERRUPTED, NO_MEMORY, WRONG_USAGE, PorchError
from porch.inputs import variable
from porch.intent import load
from porch.report import CHECK, DELIVERIES, PACKAGE, REPOSITORY

_DETAILS = """\
environment:
  PORCH_PREVIOUS_VERSION    version of the target's last package, such as v1.0.3; the new one is v1.0.4.
                            Without it the package is v1.0.0
  PORCH_PREVIOUS_REPLICAS   replicas before this intent; without it they are "unknown", in JSON null;
                            a cluster knows better
  KUBECONFIG                the kubeconfig, where there is no -kubeconfig
  PORCH_DELIVERY            package: write the package, ask no cluster; the default without a kubeconfig
                            check: the Deployment must exist; the default with one
                            scale: set its replicas, and report the cluster's result
                            repository: bring the package to a repository of Porch, and propose it
  PORCH_OBSERVE_SECONDS     scale: how long to wait for the cluster's result, 1 to 900; 10 without it
  PORCH_READY               scale: true waits for available pods, until the deadline
  PORCH_REPOSITORY          repository: its name
  PORCH_NAMESPACE           repository: its namespace; without it the one of the kubeconfig
  PORCH_PUBLISH             repository: true approves the package, too
  PORCH_DEADLINE            epoch seconds; nothing is begun at the cluster from then on
  PORCH_CLUSTER_SECONDS     how long all talk with the cluster may take, 1 to 900; 25 without PORCH_DEADLINE

exit codes:
  0    the package is written, and delivered
  1    the intent is invalid or cannot be read: correct it
  2    the cluster has no such namespace or Deployment, or is deleting it
  3    the cluster does not let porch look or write: grant it, or renew the credentials
  4    the cluster cannot be reached, does not answer as it should, or others change the Deployment: try again later
  5    a quota or limit keeps pods out, or a HorizontalPodAutoscaler would undo the replicas
  64   wrong flags or environment: correct the call
  70   porch itself failed: report it
  71   out of memory
  74   the package or the answer cannot be written: make room, or correct -out
  76   the cluster refuses the request for good: see its message
  78   the kubeconfig or the repository is not usable: correct it
  124  the time was over before it was done
  127  porch cannot start: Python 3.13 is not first on PATH, lib/ is not beside bin/, or lib/vendor/ is missing
  130  interrupted

example:
  printf '{"intent_type":"scaling","target":"cnf-simulator","namespace":"oran-sim","replicas":3}' > intent-demo.json
  porch -intent intent-demo.json -out packages
"""


def main(argv: list[str]) -> int:
    """Run porch with these arguments and return its exit code; ``porch -help`` lists them all."""
    started = time.monotonic()
    try:
        _run(_parse(argv), started)
    except PorchError as error:
        return _fail(error)
    except MemoryError:
        return _fail(PorchError(NO_MEMORY, "out of memory: raise the limit, or send a smaller intent"))
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001 - left alone, Python exits 1, and a good intent would pass for an invalid one
        return _fail(PorchError(BUG, f"porch itself failed ({error!r}): please report it"))
    return 0


def _run(flags: argparse.Namespace, started: float) -> None:
    previous, version = package.previous_replicas(), package.next_version()
    intent = load(flags.intent)
    change = package.Change(intent, package.package_name(intent.target, version), previous)

    def print_outcome(outcome: report.Outcome) -> None:
        outcome.is_dry_run = flags.dry_run
        seconds = time.monotonic() - started
        _print(report.document(change, outcome, seconds) if flags.structured else report.text(change, outcome))

    try:
        outcome = _deliver(change, flags)
    except report.DeliveryError as error:
        print_outcome(error.outcome)
        raise
    _print_messages("Note", outcome.notes)
    print_outcome(outcome)


def _deliver(change: package.Change, flags: argparse.Namespace) -> report.Outcome:
    kubeconfig = os.environ.get("KUBECONFIG", "") if flags.kubeconfig is None else flags.kubeconfig
    delivery = _choose(kubeconfig)
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
    _print_messages("Error", error.messages)
    return error.exit_code


def _print_messages(kind: str, messages: tuple[str, ...]) -> None:
    try:
        os.write(2, "".join(f"{kind}: {message}\n" for message in messages).encode())
    except OSError:
        return  # stderr is closed, the exit code remains


def _parse(argv: list[str]) -> argparse.Namespace:
    """Read ``argv``, without the program's name. ``-help`` and ``-version`` print, and raise ``SystemExit``."""
    parser = argparse.ArgumentParser(
        prog="porch",
        usage="porch [-dry-run] -intent FILE -out DIRECTORY [-structured] [-kubeconfig FILE]",
        description="Write a KRM package (a Kptfile and a kustomize Component) for one scaling intent.",
        epilog=_DETAILS,
        formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(prog, max_help_position=20, width=110),
        allow_abbrev=False,
        add_help=False,
        exit_on_error=False,
    )

    def add(name: str, text: str, **options: object) -> None:
        parser.add_argument(f"-{name}", f"--{name}", help=text, **options)  # type: ignore[arg-type]

    intent = "the intent, JSON; a name such as intent-<id>.json gives the package its intent id"
    add("intent", intent, required=True, type=_path, metavar="FILE")
    add("out", "where to write <package>/, and nothing else", required=True, type=_path, metavar="DIRECTORY")
    add("kubeconfig", "the cluster to look at, or to scale; -kubeconfig= works offline", metavar="FILE")
    add("dry-run", "write the package and look at the cluster, and change nothing there", action="store_true")
    add("structured", "print one JSON document instead of lines of text", action="store_true")
    add("version", "print the version", action="version", version=f"porch {__version__}")
    parser.add_argument("-h", "-help", "--help", action="help", help="print this")
    try:
        return parser.parse_args(argv)
    except argparse.ArgumentError as error:
        raise PorchError(WRONG_USAGE, f"{error}; run porch -help for the usage") from None


def _path(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("it needs a path")
    return text


def _choose(kubeconfig: str) -> str:
    """Return the delivery: that of the environment, else ``check`` where there is a cluster and ``package`` without."""
    named = variable("PORCH_DELIVERY", "|".join(DELIVERIES), ", ".join(DELIVERIES))
    has_repository = bool(os.environ.get("PORCH_REPOSITORY"))
    delivery = named or (CHECK if kubeconfig else PACKAGE)
    problem = ""
    if delivery != PACKAGE and not kubeconfig:
        problem = f"delivery {delivery} needs a cluster: give -kubeconfig, or set PORCH_DELIVERY=package"
    elif delivery == REPOSITORY and not has_repository:
        problem = "delivery repository needs to know which one: set PORCH_REPOSITORY"
    elif has_repository and not named:
        problem = "PORCH_REPOSITORY is set, and nothing says to use it: set PORCH_DELIVERY=repository, or unset it"
    if problem:
        raise PorchError(WRONG_USAGE, problem)
    return delivery
