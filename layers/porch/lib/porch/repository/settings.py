"""Which Porch repository, and what its package revision is called. Names are checked before anything is asked."""

import hashlib
import re
from dataclasses import dataclass

from porch.errors import MISCONFIGURED, PorchError
from porch.inputs import is_true, variable
from porch.intent import Intent

_MAX_LABEL = 63  # Porch's repositories, packages and workspaces are DNS labels (porch, pkg/util/util.go)
_LABEL = "[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
WORKSPACE_PREFIX = "intent-"
_PREFIXES = ("of-", "in-")  # a repository cannot begin both


@dataclass(frozen=True, slots=True)
class Place:
    """A repository registered with Porch, and whether packages are published in it."""

    namespace: str
    repository: str
    publish: bool


def place_of(namespace: str) -> Place:
    """Return the place that the environment names; ``namespace`` is the kubeconfig's."""
    rule = f"a name, 1 to {_MAX_LABEL} of a-z, 0-9 and -, no - at either end"
    named, repository = (variable(f"PORCH_{each}", _LABEL, rule) for each in ("NAMESPACE", "REPOSITORY"))
    if not named and not re.fullmatch(_LABEL, namespace):
        raise PorchError(MISCONFIGURED, f"kubeconfig: the context's namespace is {namespace!a:.80}: make it {rule}")
    return Place(named or namespace, repository, is_true("PORCH_PUBLISH"))


def package_of(intent: Intent, repository: str) -> str:
    """Return the Porch package of the intent's Deployment: ``<namespace>--<target>``, the same for every intent.

    Names that are too long, or that hold ``--`` themselves, get a digest in its place: no two Deployments share one.
    So does one that would begin with the repository's: some servers cut that off (nephio-project/nephio#950).
    """
    plain = f"{intent.namespace}--{intent.target}"
    if len(plain) <= _MAX_LABEL and plain.count("--") == 1 and "---" not in plain and not plain.startswith(repository):
        return plain
    head = re.sub("-+", "-", f"{intent.namespace}-{intent.target}")
    if head.startswith(repository):
        head = next(made for each in _PREFIXES if not (made := each + head).startswith(repository))
    digest = _digest(intent.namespace, intent.target)
    return f"{head[: _MAX_LABEL - len(digest) - 1].rstrip('-')}-{digest}"


def workspace_of(intent: Intent, package: str) -> str:
    """Return the workspace of this intent: of its fields and its version, so that a repetition finds it.

    The version (the end of ``package``, our own package name) tells an intent that is sent again, after others, from
    a repeated attempt.
    """
    fields = (intent.id, intent.target, intent.namespace, str(intent.replicas))
    version = package.rpartition("-")[2].replace(".", "-")
    return f"{WORKSPACE_PREFIX}{_digest(*fields, intent.reason, intent.source, intent.correlation_id)}-{version}"


def _digest(*words: str) -> str:
    return hashlib.sha256("\0".join(words).encode()).hexdigest()[:12]
