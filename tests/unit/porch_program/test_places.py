"""What a Deployment's package and an intent's workspace are called in Porch."""

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from porch.intent import Intent
from porch.repository import package_of, workspace_of

LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")  # IsDNS1123Label, which Porch asks of both
PACKAGE = "cnf-simulator-v1.0.3"


def names(longest: int) -> st.SearchStrategy[str]:
    return st.from_regex(rf"[a-z0-9]([-a-z0-9]{{0,{longest - 2}}}[a-z0-9])?", fullmatch=True)


def intent(name: str = "daily-001", **changes: Any) -> Intent:
    fields = {"target": "cnf-simulator", "namespace": "oran-sim", "replicas": 3}
    return Intent(fields | changes, name)


def test_the_package_is_named_after_namespace_and_deployment() -> None:
    assert package_of(intent(), "edge-1") == "oran-sim--cnf-simulator"


@given(namespace=names(63), target=names(253), repository=names(63))
def test_any_deployment_gets_a_legal_package(namespace: str, target: str, repository: str) -> None:
    assert LABEL.fullmatch(package_of(intent(namespace=namespace, target=target), repository))


@settings(deadline=None)
@given(namespace=names(63), target=names(253), data=st.data())
def test_no_package_begins_with_its_repositorys_name(namespace: str, target: str, data: st.DataObject) -> None:
    joined = f"{namespace}{data.draw(st.sampled_from(['-', '--']))}{target}"
    repository = joined[: data.draw(st.integers(1, min(len(joined), 63)))].rstrip("-")
    package = package_of(intent(namespace=namespace, target=target), repository)
    assert not package.startswith(repository)
    assert LABEL.fullmatch(package)


@pytest.mark.parametrize("namespace", ["oran-sim", "of", "in", "o", "i", "of-of"])
def test_a_prefix_against_that_does_not_bring_it_about(namespace: str) -> None:
    assert not package_of(intent(namespace=namespace), namespace).startswith(namespace)


@given(one=st.tuples(names(8), names(8)), other=st.tuples(names(8), names(8)))
def test_two_deployments_never_share_a_package(one: tuple[str, str], other: tuple[str, str]) -> None:
    packages = {package_of(intent(namespace=namespace, target=target), "edge-1") for namespace, target in (one, other)}
    assert len(packages) == len({one, other})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("a", "b--c"), ("a--b", "c")),
        (("a", "b-c"), ("a-b", "c")),
        (("a" * 63, "b" * 200), ("a" * 63, "b" * 199 + "c")),
    ],
)
def test_names_that_look_alike_when_joined_are_distinguished(one: tuple[str, str], other: tuple[str, str]) -> None:
    intents = [intent(namespace=namespace, target=target) for namespace, target in (one, other)]
    first, second = (package_of(each, "edge-1") for each in intents)
    assert first != second


def test_the_workspace_is_the_same_for_a_repeated_attempt() -> None:
    assert workspace_of(intent(), PACKAGE) == workspace_of(intent(), PACKAGE)
    assert re.fullmatch(r"intent-[0-9a-f]{12}-v1-0-3", workspace_of(intent(), PACKAGE))


@pytest.mark.parametrize(
    "other",
    [intent("daily-002"), intent(replicas=4), intent(reason="load"), intent(namespace="other"), intent(target="other")],
)
def test_another_intent_has_another_workspace(other: Intent) -> None:
    assert workspace_of(other, PACKAGE) != workspace_of(intent(), PACKAGE)


def test_the_same_intent_after_others_has_another_workspace() -> None:
    assert workspace_of(intent(), "cnf-simulator-v1.0.4") != workspace_of(intent(), PACKAGE)


def test_the_longest_version_fits_into_a_workspace() -> None:
    longest = "cnf-simulator-v9999999999.9999999999.10000000000"
    assert LABEL.fullmatch(workspace_of(intent("x" * 200), longest))
