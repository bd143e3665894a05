"""What SAM makes of templates: a JSON list of texts comes in, one of views goes out.

Runs in SAM's own environment (.local/tools), once for all texts: to import SAM takes seconds.
"""

import json
import os
import sys
from typing import Any

from samcli.commands.deploy.auth_utils import auth_per_resource  # type: ignore[import-not-found]
from samcli.lib.providers.provider import Stack  # type: ignore[import-not-found]
from samcli.yamlhelper import yaml_parse  # type: ignore[import-not-found]
from samtranslator.parser.parser import Parser  # type: ignore[import-not-found]
from samtranslator.translator.translator import Translator  # type: ignore[import-not-found]

UPLOADED = {"AWS::Serverless::Function": "CodeUri", "AWS::Serverless::LayerVersion": "ContentUri"}


def transformed(template: dict[str, Any]) -> dict[str, Any]:
    """Transform as CloudFormation does, once `sam deploy` has uploaded code and layers."""
    for resource in template["Resources"].values():
        if place := UPLOADED.get(resource["Type"]):
            resource["Properties"][place] = "s3://artifacts/key"
    defaults = {name: one.get("Default") for name, one in template["Parameters"].items()}
    made: dict[str, Any] = Translator({}, Parser()).translate(template, defaults)
    return made


def asked(template: dict[str, Any]) -> list[str]:
    """Give the functions that `sam deploy --guided` asks about, once for each path without authorization."""
    stack = Stack("", "", "template.yaml", {}, template)
    return [name for name, authorized in auth_per_resource([stack]) if not authorized]


def main() -> None:
    """Print the transformed resources of each template, and who is asked about."""
    os.environ["AWS_DEFAULT_REGION"] = "us-east-1"
    texts: list[str] = json.load(sys.stdin)
    views = [{"made": transformed(yaml_parse(text)), "asked": asked(yaml_parse(text))} for text in texts]
    json.dump(views, sys.stdout)


if __name__ == "__main__":
    main()
