import pytest

from conductor_loop.errors import Cause
from conductor_loop.validation import Rules, inspect
from tests.unit.validation.intents import body, broken_rules


@pytest.mark.parametrize(
    "namespace", ["kube-system", "kube-public", "kube-node-lease", "kube-flannel", "istio-system", "openshift-dns"]
)
def test_a_system_namespace_cannot_be_targeted(namespace: str) -> None:
    report = inspect(body(namespace=namespace))
    assert report.cause is Cause.POLICY_VIOLATION
    assert report.cause.code == "E003"
    assert [violation.rule for violation in report.violations] == ["system_namespaces"]


@pytest.mark.parametrize("namespace", ["default", "kube", "kubernetes-apps", "my-kube-system", "billing-system", "0"])
def test_a_namespace_that_only_looks_like_a_system_namespace_can(namespace: str) -> None:
    assert broken_rules(body(namespace=namespace)) == set()


def test_the_list_of_system_namespaces_is_configurable_except_for_those_of_kubernetes_itself() -> None:
    rules = Rules(system_namespaces=("payments", "infra-*"))
    refused = {("$.namespace", "system_namespaces")}
    assert broken_rules(body(namespace="payments"), rules) == refused
    assert broken_rules(body(namespace="infra-dns"), rules) == refused
    assert broken_rules(body(namespace="kube-system"), rules) == refused
    assert broken_rules(body(namespace="istio-system"), rules) == set()


@pytest.mark.parametrize("timeout", ["0s", "000m", "86401s", "25h", "9" * 300 + "h"])
def test_a_timeout_of_nothing_or_of_more_than_a_day_is_refused(timeout: str) -> None:
    assert broken_rules(body(timeout=timeout)) == {("$.timeout", "timeout")}


@pytest.mark.parametrize("timeout", ["1s", "30s", "5m", "1h", "24h", "86400s", "0" * 300 + "5s"])
def test_a_timeout_of_up_to_a_day_is_accepted(timeout: str) -> None:
    assert broken_rules(body(timeout=timeout)) == set()


@pytest.mark.parametrize("priority", ["low", "normal", "high", "critical"])
def test_every_priority_of_the_specification_is_accepted(priority: str) -> None:
    assert broken_rules(body(priority=priority)) == set()


def test_names_as_long_as_kubernetes_allows_are_accepted() -> None:
    assert broken_rules(body(target="a" * 253, namespace="a" * 63)) == set()
