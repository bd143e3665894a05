"""What this package is called, and what the caller knows of the last one for the same target."""

import re

from porch.errors import WRONG_USAGE, PorchError

_MAX_NAME = 253  # a Kubernetes object's name; also below the 255 bytes of a file name
_PART = "(0|[1-9][0-9]{0,9})"  # as semantic versions have it: no leading zero; has room for a time in seconds


def next_version(previous: str) -> str:
    """Return the version one patch above ``previous`` ("" when there is none)."""
    if not previous:
        return "v1.0.0"
    if not (version := re.fullmatch(rf"v{_PART}\.{_PART}\.{_PART}", previous)):
        raise _wrong("PORCH_PREVIOUS_VERSION", previous, "a version such as v1.0.3")
    return f"v{version[1]}.{version[2]}.{int(version[3]) + 1}"


def previous_replicas(known: str) -> int | None:
    """Return the number of replicas before this intent, or None when it is unknown ("")."""
    if not known:
        return None
    if not re.fullmatch("[0-9]{1,10}", known):
        raise _wrong("PORCH_PREVIOUS_REPLICAS", known, "an integer such as 3")
    return int(known)


def package_name(target: str, version: str) -> str:
    """Return ``<target>-<version>``; a target too long for that is cut and told apart by its digest."""
    room = _MAX_NAME - len(f"-{version}")
    if len(target) <= room:
        return f"{target}-{version}"
    import hashlib  # noqa: PLC0415 - a tenth of a run, for names that are rarely so long

    digest = hashlib.sha256(target.encode()).hexdigest()[:12]
    head = target[: room - len(f"-{digest}")].rstrip("-")
    return f"{head}-{digest}-{version}"


def _wrong(variable: str, value: str, rule: str) -> PorchError:
    return PorchError(WRONG_USAGE, f"{variable} is {ascii(value)[:60]}: make it {rule}, or leave it out")
