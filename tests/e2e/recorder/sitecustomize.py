"""Notes each call that a program makes to AWS in the file CALLS, one a line: the service and the operation."""

import os
from pathlib import Path
from typing import Any

import botocore.client

_call = botocore.client.BaseClient._make_api_call  # type: ignore[attr-defined]


def _noted(self: Any, operation: str, parameters: dict[str, Any]) -> Any:
    source = parameters.get("CopySource")
    versioned = "VersionId" in parameters or (isinstance(source, dict) and "VersionId" in source)
    with Path(os.environ["CALLS"]).open("a") as calls:
        calls.write(f"{self.meta.service_model.service_name} {operation}{' version' * versioned}\n")
    return _call(self, operation, parameters)


botocore.client.BaseClient._make_api_call = _noted  # type: ignore[attr-defined]
