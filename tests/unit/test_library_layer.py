"""The library layer's descriptions of services say of every call what the SDK's own say."""

import gzip
import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

import botocore
import botocore.session
import pytest

_DATA = Path(botocore.__file__).parent / "data"
_SPEC = importlib.util.spec_from_file_location("trim", Path(__file__).parents[2] / "layers/library/trim.py")
assert _SPEC
assert _SPEC.loader
trim = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(trim)
SERVICES = ("s3", "dynamodb", "sqs", "ssm", "lambda")


@pytest.fixture(scope="module")
def trimmed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("layer") / "data"
    data.mkdir()
    for name in (*SERVICES, "iam"):
        shutil.copytree(_DATA / name, data / name)
    for path in _DATA.glob("*.json"):
        shutil.copy(path, data)
    trim.trim(data, set(SERVICES))
    return data


@pytest.mark.parametrize("service", SERVICES)
def test_every_call_is_described_as_before_but_for_its_texts(trimmed: Path, service: str) -> None:
    for before in (_DATA / service).rglob("*.json.gz"):
        after = trimmed / before.relative_to(_DATA).with_suffix("")
        text = gzip.decompress(before.read_bytes()).decode()
        assert json.loads(after.read_text()) == trim.without_words(json.loads(text))
        assert json.loads(after.read_text()).keys() >= json.loads(text).keys() - {"documentation"}


def test_a_field_called_documentation_stays() -> None:
    shape = {"members": {"documentation": {"shape": "Text", "documentation": "What it is."}}, "documentation": "words"}
    assert trim.without_words(shape) == {"members": {"documentation": {"shape": "Text"}}}


def test_other_services_are_gone_and_endpoints_stay_what_they_were(trimmed: Path) -> None:
    assert {path.name for path in trimmed.iterdir() if path.is_dir()} == set(SERVICES)
    for region in ("us-east-1", "eu-central-1", "cn-north-1", "us-gov-west-1"):
        for service in SERVICES:
            assert _endpoint(trimmed, service, region) == _endpoint(_DATA, service, region)


@pytest.mark.parametrize("service", SERVICES)
def test_every_call_is_sent_as_the_untrimmed_descriptions_have_it(trimmed: Path, service: str) -> None:
    before, after = _client(_DATA, service), _client(trimmed, service)
    for name in before.meta.service_model.operation_names:
        shape = before.meta.service_model.operation_model(name).input_shape
        given = {member: _value(shape.members[member], member) for member in (shape.required_members if shape else ())}
        assert _sent(after, name, given) == _sent(before, name, given), name


def _value(shape: Any, name: str) -> Any:
    """Make up a valid value."""
    if shape.type_name == "structure":
        union = getattr(shape, "is_tagged_union", False)
        members = list(shape.members)[:1] if union else shape.required_members
        return {one: _value(shape.members[one], one) for one in members}
    if shape.type_name == "list":
        return [_value(shape.member, name)]
    if shape.type_name == "map":
        return {"key": _value(shape.value, name)}
    return _VALUES[shape.type_name] if shape.type_name in _VALUES else _text(shape, name)


def _text(shape: Any, name: str) -> str:
    if shape.enum:
        return str(shape.enum[0])
    return "https://queue.example/1" if name == "QueueUrl" else "name-of-it".ljust(shape.metadata.get("min", 0), "x")


_VALUES = {"integer": 5, "long": 5, "boolean": True, "timestamp": "2026-11-23T03:00:00Z", "blob": b"bytes"}


class _Sent(Exception):  # noqa: N818 - stops a call where it would reach the network
    pass


def _sent(client: Any, operation: str, given: dict[str, Any]) -> Any:
    """Give what would go over the wire."""

    def stop(request: Any, **_: Any) -> None:
        kept = {
            name: value for name, value in request.headers.items() if name.lower() in {"x-amz-target", "content-type"}
        }
        body = request.body.read() if hasattr(request.body, "read") else request.body
        raise _Sent(request.method, request.url, body, kept)

    client.meta.events.register("before-send", stop, unique_id="stop")
    with pytest.raises(_Sent) as sent:
        client._make_api_call(operation, given)
    return sent.value.args


def _endpoint(data: Path, service: str, region: str) -> str:
    return str(_client(data, service, region).meta.endpoint_url)


def _client(data: Path, service: str, region: str = "us-east-1") -> Any:
    session = botocore.session.Session()
    loader = session.get_component("data_loader")
    loader._search_paths = [str(data)]
    loader.BUILTIN_DATA_PATH = str(data)  # as in the layer: elsewhere, it would count as an endpoint of one's own
    session.set_credentials("a", "b")
    return session.create_client(service, region_name=region)
