"""The command line, with Go's spelling of long flags: one dash or two."""

import argparse

from porch import __version__
from porch.errors import WRONG_USAGE, PorchError

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


def parse(argv: list[str]) -> argparse.Namespace:
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
