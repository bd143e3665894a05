"""Delivery scale on the deployed template: what an intent does to a cluster, and what its status says of that."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.e2e.conftest import Deployed, until
from tests.integration.cluster.apiserver import TOKEN, ApiServer, Faults, serving
from tests.integration.cluster.world import World, deployment
from tests.unit.test_template import RESOURCES

(READ_THE_KUBECONFIG,) = RESOURCES["KubeconfigSecretPolicy"]["Properties"]["PolicyDocument"]["Statement"]


@pytest.fixture(scope="module")
def api(deployed: Deployed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """Give the cluster that the stack scales; its role gets what the template's KubeconfigSecretArn would give it."""
    ca, folder = trustme.CA(), tmp_path_factory.mktemp("cluster")
    with serving(ApiServer(namespaces={"e2e": "Active"}), ca) as api:
        client = deployed.stack.session().client("secretsmanager", endpoint_url=deployed.stack.endpoint)
        kubeconfig = World(api, ca, folder).kubeconfig().read_text()
        arn = client.create_secret(Name="edge-kubeconfig", SecretString=kubeconfig)["ARN"]
        deployed.grant("kubeconfig-secret", READ_THE_KUBECONFIG | {"Resource": arn})
        try:
            deployed.configure(porch={"cluster": {"kubeconfig_secret": arn, "delivery": "scale"}})
            yield api
        finally:
            deployed.grant("kubeconfig-secret")
            deployed.configure()


class Cluster:
    """A Deployment of the cluster, and what was asked about it."""

    def __init__(self, api: ApiServer, name: str) -> None:
        self.api, self.name = api, name
        self.file = f"intent-{name}.json"
        self._path = f"/apis/apps/v1/namespaces/e2e/deployments/{name}"

    def run_replicas(self, replicas: int = 1) -> None:
        self.api.add("deployments", self.name, "e2e", **deployment(replicas))

    @property
    def replicas(self) -> int:
        wanted: int = self.api.deployment(self.name, "e2e")["spec"]["replicas"]
        return wanted

    @property
    def patched(self) -> list[int]:
        """The replicas of each patch that was sent, whether it was taken or not."""
        asked = zip(list(self.api.requests), list(self.api.bodies), strict=False)
        return [
            json.loads(body)["spec"]["replicas"] for request, body in asked if request == f"PATCH {self._path}/scale"
        ]

    def quota(self, pods: int, used: int) -> None:
        hard = {"pods": str(pods)}
        self.api.add(
            "resourcequotas", "small", "e2e", spec={"hard": hard}, status={"hard": hard, "used": {"pods": str(used)}}
        )

    def at_patch(self, act: Callable[[], object]) -> Callable[[str, str], None]:
        """Do something at the first patch of this Deployment."""
        left = [act]

        def meddle(method: str, path: str) -> None:
            if left and method == "PATCH" and self._path in path:
                left.pop()()

        return meddle


@pytest.fixture
def cluster(api: ApiServer, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """Give a Deployment of the test's own, which runs with one replica."""
    name = request.node.name.removeprefix("test_").replace("_", "-")[:50].rstrip("-")
    found = Cluster(api, name)
    found.run_replicas()
    yield found
    api.faults = Faults()
    api.objects.get("resourcequotas", {}).clear()


def test_scaled(deployed: Deployed, cluster: Cluster) -> None:
    deployed.put(cluster.file, target=cluster.name, replicas=3)
    deployed.wait_for(cluster.file)
    status = deployed.status(cluster.file)
    assert status["message"] == f"Successfully scaled {cluster.name} to 3 replicas"
    assert (status["status"], status["delivery"], status["attempt"]) == ("success", "scale", 1)
    assert (status["previous_replicas"], status["observed_replicas"]) == (1, 3)
    assert (cluster.replicas, cluster.patched) == (3, [3])
    assert f"processed/{cluster.file}" in deployed.keys("processed/")
    assert TOKEN not in json.dumps(status)


def test_missing(deployed: Deployed, cluster: Cluster) -> None:
    cluster.api.objects["deployments"].clear()
    deployed.put(cluster.file, target=cluster.name, replicas=3)
    deployed.wait_for(cluster.file)
    status = deployed.status(cluster.file)
    assert (status["error_details"]["code"], status["attempt"]) == ("E013", 1), status["message"]
    assert "next_retry" not in status
    assert f"failed/{cluster.file}" in deployed.keys("failed/")


def test_forbidden_until_it_is_granted(deployed: Deployed, cluster: Cluster) -> None:
    cluster.api.faults.forbidden = {"deployments/scale"}
    deployed.put(cluster.file, target=cluster.name, replicas=3)
    until(lambda: "next_retry" in _status(deployed, cluster.file), 60)
    status = deployed.status(cluster.file)
    assert status["error_details"]["code"] == "E008"
    assert "docs/porch.md has the Role" in status["message"]
    assert cluster.replicas == 1
    cluster.api.faults.forbidden = set()
    deployed.wait_for(cluster.file)
    assert deployed.status(cluster.file)["message"] == f"Successfully scaled {cluster.name} to 3 replicas"


def test_quota_exceeded_to_the_end(deployed: Deployed, cluster: Cluster) -> None:
    cluster.quota(2, used=1)
    deployed.put(cluster.file, target=cluster.name, replicas=5)
    deployed.wait_for(cluster.file)
    status = deployed.status(cluster.file)
    assert (status["status"], status["error_details"]["code"], status["retry_count"]) == ("failed", "E015", 3)
    assert "2 of 5 pods are there, and the cluster goes on trying: pods" in status["message"]
    assert "exceeded quota: small, requested: pods=1, used: pods=2, limited: pods=2" in status["message"]
    assert (status["delivery"], status["previous_replicas"], status["observed_replicas"]) == ("scale", 1, 2)
    assert (cluster.replicas, cluster.patched) == (5, [5]), "the wish stands in the cluster"


def test_quota_raised_while_it_is_retried(deployed: Deployed, cluster: Cluster) -> None:
    cluster.quota(2, used=1)
    deployed.put(cluster.file, target=cluster.name, replicas=5)
    until(lambda: "next_retry" in _status(deployed, cluster.file), 60)
    cluster.quota(9, used=2)
    deployed.wait_for(cluster.file)
    status = deployed.status(cluster.file)
    assert status["message"] == f"Successfully scaled {cluster.name} to 5 replicas"
    assert (status["previous_replicas"], status["observed_replicas"]) == (1, 5)
    assert cluster.patched == [5]


def test_a_late_patch_is_refused(deployed: Deployed, cluster: Cluster) -> None:
    cluster.api.faults.before = cluster.at_patch(lambda: cluster.api.scale(7, cluster.name, "e2e"))
    deployed.put(cluster.file, target=cluster.name, replicas=3)
    until(lambda: "next_retry" in _status(deployed, cluster.file), 60)
    status = deployed.status(cluster.file)
    assert (status["error_details"]["code"], cluster.patched) == ("E014", [3])
    assert "was changed by others meanwhile" in status["message"]
    deployed.wait_for(cluster.file)  # no newer intent is known: it is still what is wanted
    status = deployed.status(cluster.file)
    assert (status["previous_replicas"], cluster.replicas, cluster.patched) == (7, 3, [3, 3])


def test_two_intents_in_order(deployed: Deployed, cluster: Cluster) -> None:
    second = cluster.file.replace(".json", "-second.json")
    cluster.api.faults.after = cluster.at_patch(lambda: deployed.put(second, target=cluster.name, replicas=4))
    deployed.put(cluster.file, target=cluster.name, replicas=2)
    deployed.wait_for(cluster.file)
    until(lambda: deployed.answered(second), 60)
    statuses = [deployed.status(file) for file in (cluster.file, second)]
    assert [status["message"] for status in statuses] == [
        f"Successfully scaled {cluster.name} to {replicas} replicas" for replicas in (2, 4)
    ]
    assert [status["previous_replicas"] for status in statuses] == [1, 2]
    assert (cluster.replicas, cluster.patched) == (4, [2, 4])


@pytest.mark.long  # tests/integration/cluster/test_from_lambda.py kills porch there, too
def test_killed_after_the_patch(deployed: Deployed, cluster: Cluster) -> None:
    file = "intent-kill-before-5-scale.json"  # its calls before: read, claim, target, and the secret or the note
    deployed.put(file, target=cluster.name, replicas=3, priority="critical", timeout="6s")
    deployed.wait_for(file)
    assert Path(deployed.stack.environment["CHAOS_MARKERS"], file).exists()
    status = deployed.status(file)
    assert (status["message"], status["attempt"]) == (f"Successfully scaled {cluster.name} to 3 replicas", 2)
    assert (cluster.replicas, cluster.patched) == (3, [3])


def _status(deployed: Deployed, file: str) -> dict[str, Any]:
    return deployed.status(file) if f"status/{file}.status" in deployed.keys("status/") else {}
