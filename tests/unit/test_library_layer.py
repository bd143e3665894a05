"""The library layer's descriptions of services say of every call what the SDK's own say."""

import gzip
import importlib.util
import json
import shutil
from pathlib import Path

import botocore
import botocore.session
import pytest

_DATA = Path(botocore.__file__).parent / "data"
_SPEC = importlib.util.spec_from_file_location("trim", Path(__file__).parents[2] / "layers/library/trim.py")
assert _SPEC
assert _SPEC.loader
trim = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(trim)
SERVICES = ("s3", "dynamodb", "sqs")


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


def _endpoint(data: Path, service: str, region: str) -> str:
    session = botocore.session.Session()
    loader = session.get_component("data_loader")
    loader._search_paths = [str(data)]
    session.set_credentials("a", "b")
    client = session.create_client(service, region_name=region)
    return str(client.meta.endpoint_url)
