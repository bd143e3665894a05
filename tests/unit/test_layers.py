"""Which module may import what: the rules that keep the core free of where it runs."""

from pathlib import Path

import pytest

from tests.imports import SOURCE, imports

MODULES = sorted(SOURCE.rglob("*.py"))
ONLY_IN: dict[str, str | tuple[str, ...]] = {  # what is imported, and the only place that may do so
    "boto3": ("storage/sdk.py", "cli/aws.py", "handlers.py", "api/handler.py", "audit/handler.py"),
    "botocore": (*("storage/", "cli/", "audit/events.py", "porch/sources.py", "tokens/stores.py"),),
    "subprocess": "porch/",
    "conductor_loop.storage": (
        *("storage/", "api/", "cli/", "tokens/stores.py", "porch/sources.py"),
        *("bootstrap.py", "housekeeping.py", "audit/"),
    ),
    "conductor_loop.api": "api/",
    "conductor_loop.cli": "cli/",
    "conductor_loop.bootstrap": ("handlers.py", "api/handler.py"),
    "prometheus_client": "api/exposition.py",
    "conductor_loop.handlers": (),
    "click": ("cli/", "validator.py"),
}
PURE = (
    *("intents/model.py", "intent.py", "errors.py", "retry.py"),
    *("counting.py", "audit/entries.py", "audit/verify.py"),
)


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_module_imports_only_what_its_place_allows(module: Path) -> None:
    place = str(module.relative_to(SOURCE))
    for imported in imports(module):
        for restricted, places in ONLY_IN.items():
            if imported == restricted or imported.startswith(f"{restricted}."):
                assert place.startswith(places), f"{place} imports {imported}"


@pytest.mark.parametrize("place", ["handlers.py", "api/handler.py", "audit/handler.py"])
def test_a_function_imports_the_sdk_while_it_starts(place: str) -> None:
    assert "boto3" in set(imports(SOURCE / place))


@pytest.mark.parametrize("place", PURE)
def test_the_nouns_do_no_input_or_output(place: str) -> None:
    ours = ("intent", "errors", "intents.model", "counting", "audit.entries")
    others = (
        "collections",
        "dataclasses",
        "datetime",
        "enum",
        "hashlib",
        "itertools",
        "json",
        "math",
        "re",
        "typing",
        "urllib",
    )
    allowed = (*(f"conductor_loop.{name}" for name in ours), *others)
    for imported in imports(SOURCE / place):
        assert imported.startswith(allowed), imported


def test_only_the_configuration_and_the_handlers_read_the_environment() -> None:
    readers = {str(path.relative_to(SOURCE)) for path in MODULES if "os.environ" in path.read_text()}
    assert readers <= {
        "handlers.py",
        "api/handler.py",
        "audit/handler.py",
        "cli/__init__.py",
        "cli/config.py",
        "cli/aws.py",
    }
