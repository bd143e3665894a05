"""What this package is called, and what the caller knows of the last one for the same target."""

from porch.inputs import variable

_MAX_NAME = 253  # a Kubernetes object's name; also below the 255 bytes of a file name
_PART = "(0|[1-9][0-9]{0,9})"  # as semantic versions have it: no leading zero; has room for a time in seconds


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
    """Return ``<target>-<version>``; a target too long for that is cut and told apart by its digest."""
    room = _MAX_NAME - len(f"-{version}")
    if len(target) <= room:
        return f"{target}-{version}"
    import hashlib  # noqa: PLC0415 - a tenth of a run, for names that are rarely so long

    digest = hashlib.sha256(target.encode()).hexdigest()[:12]
    head = target[: room - len(f"-{digest}")].rstrip("-")
    return f"{head}-{digest}-{version}"
