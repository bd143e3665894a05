"""Which delivery a run makes, checked together with what that needs."""

import os

from porch.errors import WRONG_USAGE, PorchError
from porch.inputs import variable

PACKAGE, CHECK, SCALE, REPOSITORY = "package", "check", "scale", "repository"
_ALL = (PACKAGE, CHECK, SCALE, REPOSITORY)


def choose(kubeconfig: str) -> str:
    """Return the delivery: that of the environment, else ``check`` where there is a cluster and ``package`` without."""
    named = variable("PORCH_DELIVERY", "|".join(_ALL), ", ".join(_ALL))
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
