"""template.yaml and monitoring.yaml as plain values."""

from collections.abc import Mapping
from typing import Any

import yaml

from dev.stack import ROOT


class _Loader(yaml.SafeLoader):
    """Reads CloudFormation's short forms (!Ref, !Sub …) as their plain values."""


def _read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.load((ROOT / name).read_text(), _Loader)  # noqa: S506 - it makes plain values
    return found


def _merged(shared: Any, own: Any) -> Any:  # noqa: ANN401 - any part of a template
    """Merge as SAM does what is in Globals: objects by their keys, lists one behind the other."""
    if isinstance(shared, Mapping) and isinstance(own, Mapping):
        return {**shared, **{name: _merged(shared.get(name), part) for name, part in own.items()}}
    return [*shared, *own] if isinstance(shared, list) and isinstance(own, list) else own


_Loader.add_multi_constructor("!", lambda loader, _, node: getattr(loader, f"construct_{node.id}")(node))
TEMPLATE = _read("template.yaml")
MONITORING = _read("monitoring.yaml")
FUNCTIONS: dict[str, Any] = {
    name: one | {"Properties": _merged(TEMPLATE["Globals"]["Function"], one["Properties"])}
    for name, one in TEMPLATE["Resources"].items()
    if one["Type"] == "AWS::Serverless::Function"
}
RESOURCES: dict[str, Any] = {**TEMPLATE["Resources"], **FUNCTIONS, **MONITORING["Resources"]}
