"""The live tree: the Component of each target's last applied intent, at a key that never changes."""

import json
import logging
import re
from collections.abc import Mapping

from conductor_loop.app import App
from conductor_loop.intent import Handoff
from conductor_loop.lifecycle import Outcome

logger = logging.getLogger("conductor-loop")

_FILE = "kustomization.yaml"
_KPTFILE = "Kptfile"  # kustomize does not read it
_FIELDS = {"apiVersion": "kustomize.config.k8s.io/v1alpha1", "kind": "Component"}


def component(files: Mapping[str, bytes]) -> bytes | None:
    """Give the kustomize Component among a package's files; ``None`` where there is none that can stand alone.

    One that mentions another file of its package would break every overlay that lists it without that file.
    """
    content = files.get(_FILE)
    if content is None:
        return None
    text = content.decode(errors="replace")
    others = {path.partition("/")[0] for path in files.keys() - {_FILE, _KPTFILE}}
    return content if _is_component(text) and not any(name in text for name in others) else None


def _is_component(text: str) -> bool:
    if text.lstrip().startswith("{"):
        try:
            document = json.loads(text)
        except (ValueError, RecursionError):
            return False
        return all(document.get(name) == value for name, value in _FIELDS.items())
    return all(
        re.search(rf"^{name}:[ \t]*(['\"]?){re.escape(value)}\1[ \t]*(#.*)?\r?$", text, re.MULTILINE)
        for name, value in _FIELDS.items()
    )


def write(app: App, handoff: Handoff, outcome: Outcome, component: bytes | None = None) -> None:
    """Write the Component of an applied outcome; what a newer one has written stays, and twice changes nothing.

    Args:
        app: The parts to do it with.
        handoff: That was decided.
        outcome: Of it.
        component: Its content, where it is in memory; else it is read from the package.

    """
    if not (outcome.live_generation and app.config.live_tree):
        return
    prefix: str = outcome.status["package"]["prefix"]
    if component is None:
        component = app.bucket.published(handoff, prefix + _FILE)
    if component is None:
        logger.error("not written to the live tree: the package was deleted", extra={"package": prefix})
        return
    _, namespace, target, *_ = prefix.split("/")
    app.bucket.put_live(handoff, f"live/{namespace}/{target}/{_FILE}", outcome.live_generation, component)
