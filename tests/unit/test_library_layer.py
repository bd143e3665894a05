"""The library layer's descriptions of services say of every call what the SDK's own say."""

import gzip
import importlib.util
import json
import re
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import botocore
import botocore.session
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError
from botocore.loaders import Loader

_DATA = Path(botocore.__file__).parent / "data"
_SPEC = importlib.util.spec_from_file_location("trim", Path(__file__).parents[2] / "layers/library/trim.py")
assert _SPEC
assert _SPEC.loader
trim = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(trim)
_ROOT = Path(__file__).parents[2]
_LISTED = re.search(r"^SERVICES := (.*)$", (_ROOT / "layers/library/Makefile").read_text(), re.MULTILINE)
assert _LISTED
SERVICES = _LISTED[1].split()
_REGIONS = ("us-east-1", "eu-central-1", "cn-north-1", "us-gov-west-1", "eusc-de-east-1", "xx-nowhere-1")
_VARIANTS: tuple[dict[str, Any], ...] = (
    {},
    {"use_fips_endpoint": True},
    {"use_dualstack_endpoint": True},
    {"use_fips_endpoint": True, "use_dualstack_endpoint": True},
    {"s3": {"addressing_style": "path"}},
    {"s3": {"us_east_1_regional_endpoint": "legacy"}},
)


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


def test_other_services_are_gone(trimmed: Path) -> None:
    assert {path.name for path in trimmed.iterdir() if path.is_dir()} == set(SERVICES)


@pytest.mark.parametrize(
    ("region", "variant"),
    [
        pytest.param(region, variant, marks=pytest.mark.long if variant and region != "eu-central-1" else [])
        for region in _REGIONS
        for variant in _VARIANTS
    ],
    ids=str,
)
def test_a_call_goes_where_it_went_with_any_kind_of_endpoint(
    trimmed: Path, region: str, variant: dict[str, Any]
) -> None:
    for service in SERVICES:
        before, after = (_goes(data, service, region, variant) for data in (_DATA, trimmed))
        assert after == before, (service, before)


@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"])
def test_an_endpoint_of_ones_own_is_gone_to(trimmed: Path, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, "http://127.0.0.1:4999")
    found = _goes(trimmed, "s3", "eu-west-1", {})
    assert found == _goes(_DATA, "s3", "eu-west-1", {})
    assert "127.0.0.1:4999" in found[1]


def test_an_access_point_is_gone_to(trimmed: Path) -> None:
    point = "arn:aws:s3:us-west-2:123456789012:accesspoint/intents"
    found = _goes(trimmed, "s3", "us-west-2", {}, Bucket=point)
    assert found == _goes(_DATA, "s3", "us-west-2", {}, Bucket=point)
    assert "intents-123456789012.s3-accesspoint" in found[1]


_CALLS: dict[str, tuple[str, dict[str, Any]]] = {
    "dynamodb": ("GetItem", {"TableName": "state", "Key": {"pk": {"S": "a"}}}),
    "eks": ("DescribeCluster", {"name": "edge"}),
    "lambda": ("Invoke", {"FunctionName": "conductor"}),
    "s3": ("GetObject", {"Bucket": "intents", "Key": "intent-a.json", "VersionId": "1"}),
    "secretsmanager": ("GetSecretValue", {"SecretId": "a"}),
    "logs": ("PutLogEvents", {"logGroupName": "audit", "logStreamName": "a", "logEvents": []}),
    "sqs": ("SendMessage", {"QueueUrl": "https://queue.example/1/normal", "MessageBody": "a"}),
    "ssm": ("GetParameter", {"Name": "a"}),
    "sts": ("GetCallerIdentity", {}),
}


def _goes(data: Path, service: str, region: str, variant: dict[str, Any], **given: Any) -> Any:
    """Say where a call goes and how it is signed; or why there is nowhere to go."""
    operation, usual = _CALLS[service]
    try:
        client = _client(data, service, region, Config(**variant))
        signed = client.meta.service_model.signature_version, client._request_signer.region_name
        return *_sent(client, operation, usual | given)[:2], *signed
    except BotoCoreError as error:
        return str(error), ""


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


@cache
def _loader(data: Path) -> Any:
    loader: Any = Loader(include_default_search_paths=False)
    loader.search_paths.append(str(data))
    loader.BUILTIN_DATA_PATH = str(data)  # as in the layer: elsewhere, it would count as an endpoint of one's own
    return loader


def _client(data: Path, service: str, region: str = "us-east-1", config: Config | None = None) -> Any:
    session = botocore.session.Session()
    session.register_component("data_loader", _loader(data))
    session.set_credentials("a", "b")
    return session.create_client(service, region_name=region, config=config)
