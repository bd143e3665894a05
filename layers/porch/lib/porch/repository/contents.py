"""Our files, laid over what a package revision holds already."""

from collections.abc import Mapping

import yaml

from porch.cluster.documents import Fields, at, mapping

type Files = Mapping[str, str]

_KPTFILE = "Kptfile"


def merged(present: Files, ours: Files) -> dict[str, str]:
    """Return all files of the revision with ours in place.

    Other files stay, and so does what Porch and people wrote into the Kptfile: a pipeline, upstream, conditions. A file
    with the same content keeps its spelling, since Porch formats what it is given.
    """
    files = {name: present[name] if _same(present.get(name), text) else text for name, text in ours.items()}
    if kptfile := _read(present.get(_KPTFILE)):
        wanted = _overlaid(kptfile, mapping(_read(ours[_KPTFILE])))
        files[_KPTFILE] = present[_KPTFILE] if wanted == kptfile else yaml.safe_dump(wanted, sort_keys=False)
    return {**present, **files}


def says_the_same(present: Files, ours: Files) -> bool:
    """Return whether a revision carries this very wish already."""
    return merged(present, ours) == present


def _overlaid(present: Fields, ours: Fields) -> dict[str, object]:
    # The name stays Porch's: it is the package's, where ours is that of one version.
    metadata = {**mapping(present.get("metadata"))}
    metadata["annotations"] = {**mapping(metadata.get("annotations")), **mapping(at(ours, "metadata", "annotations"))}
    info = {**mapping(present.get("info")), **mapping(ours.get("info"))}
    return {**present, "metadata": metadata, "info": info}


def _same(present: str | None, text: str) -> bool:
    return present == text or (present is not None and _read(present) == _read(text))


def _read(text: str | None) -> Fields | None:
    try:
        return mapping(yaml.safe_load(text)) if text else None
    except (yaml.YAMLError, ValueError, RecursionError):
        return None  # not what porch would have written, and not porch's to correct
