"""The package of an intent: what it is called, what is in it, and how it is written.

The files are YAML that readers of YAML 1.1 and 1.2 read alike: each text is a double-quoted scalar on one line, so that
"yes", "1e3" and "---" stay texts, and no text can end its own scalar. The same intent gives the same bytes.
"""

import os

from porch.errors import CANNOT_WRITE, PorchError
from porch.inputs import variable
from porch.intent import Intent

_KPTFILE = """\
apiVersion: "kpt.dev/v1"
kind: "Kptfile"
metadata:
  name: {package}
  annotations:
    config.kubernetes.io/local-config: "true"
info:
  description: {description}
"""
# The target has no namespace: where a base leaves it to a `namespace:` field, there is none yet to be found by.
# Annotations of the Deployment, not of its pods: another reason for the same replicas must not restart anything.
_COMPONENT = """\
apiVersion: "kustomize.config.k8s.io/v1alpha1"
kind: "Component"
metadata:
  name: {package}
  annotations:
    config.kubernetes.io/local-config: "true"
patches:
  - target:
      group: "apps"
      kind: "Deployment"
      name: {target}
    patch: |
      apiVersion: "apps/v1"
      kind: "Deployment"
      metadata:
        name: {target}
{annotations}      spec:
        replicas: {replicas}
"""
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}  # alike in 1.1 and 1.2, unlike "\/"
_MAX_NAME = 253  # a Kubernetes object's name; also below the 255 bytes of a file name
_PART = "(0|[1-9][0-9]{0,9})"  # as semantic versions have it: no leading zero; has room for a time in seconds


class Change:
    """An intent together with the name of its package and the replicas before it (None: unknown)."""

    def __init__(self, intent: Intent, package: str, previous: int | None) -> None:
        self.intent, self.package, self.previous = intent, package, previous


def next_version() -> str:
    """Return the version one patch above the last one, which the environment names."""
    rule = "a version such as v1.0.3"
    previous = variable("PORCH_PREVIOUS_VERSION", rf"v{_PART}\.{_PART}\.{_PART}", rule)
    minor, _, patch = previous.rpartition(".")
    return f"{minor}.{int(patch) + 1}" if previous else "v1.0.0"


def previous_replicas() -> int | None:
    """Return the number of replicas before this intent, or None when it is unknown."""
    known = variable("PORCH_PREVIOUS_REPLICAS", "[0-9]{1,10}", "an integer such as 3")
    return int(known) if known else None


def package_name(target: str, version: str) -> str:
    """Return ``<target>-<version>``; a target too long for that is cut, and its digest distinguishes it."""
    room = _MAX_NAME - len(f"-{version}")
    if len(target) <= room:
        return f"{target}-{version}"
    import hashlib  # noqa: PLC0415 - a tenth of a run, for names that are rarely so long

    digest = hashlib.sha256(target.encode()).hexdigest()[:12]
    head = target[: room - len(f"-{digest}")].rstrip("-")
    return f"{head}-{digest}-{version}"


def files(change: Change) -> dict[str, str]:
    """Return the text of each file of the package by its name."""
    intent, package = change.intent, quote(change.package)
    annotations = {
        "intent-id": intent.id,
        "reason": intent.reason,
        "source": intent.source,
        "correlation-id": intent.correlation_id,
    }
    lines = [f"          nephoran.com/{name}: {quote(value)}\n" for name, value in annotations.items() if value]
    description = f"Sets spec.replicas of Deployment {intent.namespace}/{intent.target} to {intent.replicas}"
    return {
        "Kptfile": _KPTFILE.format(package=package, description=quote(description)),
        "kustomization.yaml": _COMPONENT.format(
            package=package,
            target=quote(intent.target),
            annotations="".join(["        annotations:\n", *lines]) if lines else "",
            replicas=intent.replicas,
        ),
    }


def write(out: str, change: Change) -> None:
    """Write the package to ``<out>/<package>/``, replacing its files; other files there stay."""
    directory = f"{out}/{change.package}"
    try:
        if os.path.islink(directory):
            message = f"{change.package} in -out is a link, not a directory: remove it, or choose another -out"
            raise PorchError(CANNOT_WRITE, message)
        os.makedirs(directory, exist_ok=True)
        present = os.listdir(directory)
        for name, text in files(change).items():
            if name in present:  # removed and made anew: it may be a link to something else
                os.unlink(f"{directory}/{name}")
            with open(f"{directory}/{name}", "xb") as file:
                file.write(text.encode())
    except OSError as error:
        message = f"{directory!a} cannot be written ({error.strerror}): make room, or correct -out"
        raise PorchError(CANNOT_WRITE, message) from None


def quote(text: str) -> str:
    """Return ``text``, which has no half surrogates, as a double-quoted scalar of YAML."""
    return '"' + "".join(_ESCAPES.get(character) or _escape(character) for character in text) + '"'


def _escape(character: str) -> str:
    # Unprintable is more than the control characters: line and paragraph separators, the byte order mark and the marks
    # that reorder or hide text on a reviewer's screen.
    code = f"{ord(character):08X}"
    if character.isprintable():
        return character
    return f"\\x{code[6:]}" if character <= "\xff" else f"\\u{code[4:]}" if character <= "\uffff" else f"\\U{code}"
