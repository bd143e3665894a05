"""Run MiniStack with gaps closed: four here, those of CloudWatch and of chains of calls in `emulated_…` beside it.

At its limit of running functions AWS lets events wait, MiniStack drops them. Of the OpenAPI body that SAM makes of an
API, MiniStack passes over `x-amazon-apigateway-any-method`, the gateway responses and the binary media types. For each
environment of a function MiniStack unpacks code and layers anew, two thousand files; here they are unpacked once. Of a
stream's tumbling windows MiniStack knows nothing: here each event names the stream's one shard, and its answer has to
have a state.

Runs in MiniStack's own environment (.local/ministack), not in the project's.
"""

import hashlib
import sys
import tempfile
import threading
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import emulated_chains  # type: ignore[import-not-found]  # beside this script, which is no package
import emulated_cloudwatch  # type: ignore[import-not-found]  # likewise
from ministack.app import main
from ministack.core import lambda_runtime
from ministack.services import apigateway_v1, lambda_svc

# Each is a process. Ten batches may run from the queues; two more take the events of S3 and the sweeper.
_slots = threading.Semaphore(12)
_acquire = lambda_svc._acquire_execution_slot
_release = lambda_svc._release_execution_slot


def _wait_for_slot(func: dict[str, Any], config: dict[str, Any]) -> tuple[str | None, str | None]:
    _slots.acquire()
    key, limit = _acquire(func, config)
    if key is None:  # the function's own reserved concurrency
        _slots.release()
    return key, limit


def _give_slot_back(key: str | None) -> None:
    _release(key)
    if key is not None:
        _slots.release()


_unpacking = threading.Lock()


class _UnpackedOnce(zipfile.ZipFile):
    """Code or a layer, which no environment of a function writes to: each gets a link to the same files."""

    def namelist(self) -> list[str]:
        """Name nothing: MiniStack would look whether each lies in the folder, with a call for each level of it."""
        return []

    def extractall(self, path: Any = None, members: Any = None, pwd: Any = None) -> None:  # noqa: ANN401 - the library's
        """Unpack, unless that is done, and link."""
        with Path(str(self.filename)).open("rb") as file:
            folder = Path(tempfile.gettempdir()) / "unpacked" / hashlib.file_digest(file, "sha256").hexdigest()
        with _unpacking:
            if not folder.exists():
                folder.with_suffix(".new").mkdir(parents=True, exist_ok=True)
                super().extractall(folder.with_suffix(".new"), members or super().namelist(), pwd)
                folder.with_suffix(".new").rename(folder)
        Path(path).rmdir()
        Path(path).symlink_to(folder)


_ANY, _EXTENSION = "any", "x-amazon-apigateway-"
_import_rest_api = apigateway_v1._import_rest_api


def _import_all_of_it(spec: dict[str, Any], base_data: dict[str, Any] | None = None) -> str:
    paths = {
        path: {_ANY if method == f"{_EXTENSION}any-method" else method: reported for method, reported in item.items()}
        for path, item in spec.get("paths", {}).items()
    }
    binary = {"binaryMediaTypes": spec.get(f"{_EXTENSION}binary-media-types", [])}
    api_id = str(_import_rest_api({**spec, "paths": paths}, {**(base_data or {}), **binary}))
    for kind, response in spec.get(f"{_EXTENSION}gateway-responses", {}).items():
        status = {"statusCode": str(response["statusCode"])} if "statusCode" in response else {}
        apigateway_v1._put_gateway_response(api_id, kind, {**response, **status})
    return api_id


_execute = lambda_svc._execute_function


def _execute_in_window(func: dict[str, Any], event: dict[str, Any]) -> dict[str, Any]:
    records = event.get("Records") or [{}]
    if not isinstance(records[0], dict) or records[0].get("eventSource") != "aws:dynamodb":
        return dict(_execute(func, event))
    window = {"shardId": "shardId-00000000000000000000-00000000", "state": {}, "isFinalInvokeForWindow": False}
    result = dict(_execute(func, event | window))
    if not result.get("error") and not (isinstance(body := result.get("body"), dict) and "state" in body):
        error = {"errorType": "InvalidResponse", "errorMessage": "a tumbling window asks for a state"}
        return result | {"error": True, "body": error}
    return result


apigateway_v1._OPENAPI_HTTP_METHODS = {*apigateway_v1._OPENAPI_HTTP_METHODS, _ANY}
apigateway_v1._import_rest_api = _import_all_of_it
lambda_runtime.zipfile = SimpleNamespace(**{**vars(zipfile), "ZipFile": _UnpackedOnce})
lambda_svc._execute_function = _execute_in_window
lambda_svc._acquire_execution_slot = _wait_for_slot
lambda_svc._release_execution_slot = _give_slot_back

emulated_chains.install()
emulated_cloudwatch.install()

if __name__ == "__main__":
    sys.exit(main())
