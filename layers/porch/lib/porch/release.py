"""What this package is called, and what the caller knows of the last one for the same target."""

from porch.errors import WRONG_USAGE, PorchError

FIRST_VERSION = "v1.0.0"
_MAX_NAME = 253  # a Kubernetes object's name; also below the 255 bytes of a file name
_MAX_DIGITS = 10  # of each part of a version: bounds the name, and has room for a time in seconds
_MAX_REPLICAS_DIGITS = 10  # int32


def next_version(previous: str) -> str:
    """Return the version one patch above ``previous`` ("" when there is none)."""
    if not previous:
        return FIRST_VERSION
    parts = previous.removeprefix("v").split(".")
    if not previous.startswith("v") or len(parts) != 3 or not all(map(_is_number, parts)):  # noqa: PLR2004 - vX.Y.Z
        raise _wrong("PORCH_PREVIOUS_VERSION", previous, "a version such as v1.0.3")
    major, minor, patch = parts
    return f"v{major}.{minor}.{int(patch) + 1}"


def previous_replicas(known: str) -> int | None:
    """Return the number of replicas before this intent, or None when nobody knows it ("")."""
    if not known:
        return None
    if not (known.isascii() and known.isdecimal() and len(known) <= _MAX_REPLICAS_DIGITS):
        raise _wrong("PORCH_PREVIOUS_REPLICAS", known, "an integer such as 3")
    return int(known)


def package_name(target: str, version: str) -> str:
    """Return ``<target>-<version>``; a target too long for that is cut and told apart by its digest."""
    room = _MAX_NAME - len(f"-{version}")
    if len(target) <= room:
        return f"{target}-{version}"
    import hashlib  # noqa: PLC0415 - 2 ms that only a name this long needs

    digest = hashlib.sha256(target.encode()).hexdigest()[:12]
    head = target[: room - len(f"-{digest}")].rstrip("-")
    return f"{head}-{digest}-{version}"


def _is_number(text: str) -> bool:
    digits = text.isascii() and text.isdecimal() and len(text) <= _MAX_DIGITS
    return digits and (text == "0" or text[0] != "0")  # as semantic versions have it: no leading zero


def _wrong(variable: str, value: str, rule: str) -> PorchError:
    return PorchError(WRONG_USAGE, f"{variable} is {ascii(value)[:60]}: make it {rule}, or leave it out")
