"""Which delivery a run makes, checked together with what that needs."""

from porch.errors import WRONG_USAGE, PorchError

PACKAGE, CHECK, SCALE, REPOSITORY = "package", "check", "scale", "repository"
_ALL = (PACKAGE, CHECK, SCALE, REPOSITORY)


def choose(named: str, kubeconfig: str, repository: str) -> str:
    """Return the delivery: the one that is named, else ``check`` where there is a cluster and ``package`` without."""
    delivery = named or (CHECK if kubeconfig else PACKAGE)
    if delivery not in _ALL:
        raise _wrong(f"PORCH_DELIVERY is {delivery!a:.60}: make it {', '.join(_ALL)}, or leave it out")
    if delivery != PACKAGE and not kubeconfig:
        raise _wrong(f"delivery {delivery} needs a cluster: give -kubeconfig, or set PORCH_DELIVERY=package")
    if delivery == REPOSITORY and not repository:
        raise _wrong("delivery repository needs to know which one: set PORCH_REPOSITORY")
    if repository and not named:
        raise _wrong("PORCH_REPOSITORY is set, and nothing says to use it: set PORCH_DELIVERY=repository, or unset it")
    return delivery


def _wrong(message: str) -> PorchError:
    return PorchError(WRONG_USAGE, message)
