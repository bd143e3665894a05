"""template.yaml as plain values."""

from typing import Any

import yaml

from dev.stack import ROOT


class _Loader(yaml.SafeLoader):
    """Reads CloudFormation's short forms (!Ref, !Sub …) as their plain values."""


_Loader.add_multi_constructor("!", lambda loader, _, node: getattr(loader, f"construct_{node.id}")(node))
TEMPLATE: dict[str, Any] = yaml.load((ROOT / "template.yaml").read_text(), _Loader)  # noqa: S506 - it makes plain values
RESOURCES: dict[str, Any] = TEMPLATE["Resources"]
