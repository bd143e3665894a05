"""The API server of these tests gives the answers that a real Kubernetes gave to the same requests.

``tests/data/kubernetes/exchanges-1.36.json``: kube-apiserver and kube-controller-manager 1.36.2. What differs from run
to run is ``<volatile>`` there. Of ``managedFields`` it is each manager, its operation and whether it owns the replicas.
"""

import copy
import json
import re
import ssl
from contextlib import closing
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any

import trustme

from tests.integration.cluster.apiserver import TOKEN, ApiServer, User, serving
from tests.integration.cluster.applying import entry

DATA = Path(__file__).parents[2] / "data/kubernetes/exchanges-1.36.json"
EXCHANGES = json.loads(DATA.read_text())["exchanges"]
VOLATILE = "<volatile>"
POD = re.compile(r"(cnf-simulator-[0-9a-f]{10})-[a-z0-9]{5}\b")
WHOLE: dict[str, Any] = {"f:spec": {"f:replicas": {}, "f:selector": {}, "f:template": {}}}
READ = frozenset({("get", "deployments")})
USERS = {
    "admin": TOKEN,
    "nobody": "unknown",
    "limited": "limited",
    "limited, patch deployments/scale": "limited-scale",
}
LIMITED = {
    "limited": User("limited", frozenset()),
    "limited-scale": User("limited", READ | {("patch", "deployments/scale")}),
}
TIME_PASSED = (
    "scale with get",
    "scale one made by ssa without replicas to 5",
    "get after",
    "the quotas",
    "its ReplicaSets",
)
MAKERS = {
    "made-by-create": ("kubectl-create", "Update", WHOLE),
    "made-by-apply": ("kubectl-client-side-apply", "Update", WHOLE),
    "made-by-ssa-without-replicas": ("kubectl", "Apply", {"f:spec": {"f:selector": {}, "f:template": {}}}),
    "made-by-flux": ("kustomize-controller", "Apply", WHOLE),
}


def recorded(what: str) -> Any:
    (found,) = [each["response"]["body"] for each in EXCHANGES if each["what"] == what]
    return copy.deepcopy(found)


class Story:
    """The cluster as it was before the first request, and what happened to it between requests."""

    def __init__(self, api: ApiServer) -> None:
        self.api, self.now = api, 0.0
        api.clock = lambda: self.now
        api.controller.available = False  # there was no kubelet
        api.others = LIMITED
        api.namespaces |= dict.fromkeys(("oran-quota", "oran-limits"), "Active")
        api.controller.cpu_limit = {"oran-limits": 50}
        self._seed()

    def _seed(self) -> None:
        first = recorded("get a Deployment")
        self.put(first)
        for name, (manager, operation, fields) in MAKERS.items():
            like = json.loads(json.dumps(first).replace("cnf-simulator", name).replace("5548d5968b", "5bf887454"))
            like["metadata"]["managedFields"] = [
                entry(manager, operation, copy.deepcopy(fields)),
                entry("kube-controller-manager", "Update", {"f:status": {}}, "status"),
            ]
            self.put(like)
        first["metadata"]["namespace"] = "oran-quota"
        self.put(first)
        empty = recorded("get after scaling beyond a limits: the controller says why")
        empty["metadata"] |= {"generation": 1, "managedFields": first["metadata"]["managedFields"]}
        empty["spec"]["replicas"] = 0
        empty["status"] = {"observedGeneration": 1, "conditions": empty["status"]["conditions"][:2]}
        self.put(empty)
        self.api.add("resourcequotas", "small", "oran-quota", **_quota())

    def put(self, deployment: Any) -> None:
        metadata = deployment["metadata"] | {"labels": {"test/pod-template-hash": _hash(deployment)}}
        name, namespace = metadata.pop("name"), metadata.pop("namespace")
        fields = {key: copy.deepcopy(deployment[key]) for key in ("spec", "status")}
        self.api.add("deployments", name, namespace, metadata=copy.deepcopy(metadata), **fields)

    def before(self, what: str) -> None:
        """Let happen what happened before this request: time for the controllers, and what was not recorded."""
        if what.startswith(
            (
                "scale with get",
                "scale one made by ssa without replicas to 5",
                "get after",
                "the quotas",
                "its ReplicaSets",
            )
        ):
            self.now += 10
        if what == "annotate":  # another client scaled twice, as generation and owners show; the controller was behind
            found = self.api.deployment()
            found["metadata"] |= {"generation": 6, "managedFields": _unowned(found)}
            found["spec"]["replicas"] = 4
            found["status"]["observedGeneration"] = 4
            self.api.changed.clear()
        if what.startswith("get after scaling (no kubelet"):
            self.api.changed["oran-sim/cnf-simulator"] = 0.0


def _quota() -> Any:
    hard = {"pods": "2", "requests.cpu": "1"}
    return {"spec": {"hard": hard}, "status": {"hard": hard, "used": {"pods": "1", "requests.cpu": "100m"}}}


def _hash(deployment: Any) -> str:
    found: list[str] = re.findall(
        r'ReplicaSet "[a-z-]+-([0-9a-f]+)"', json.dumps(deployment["status"]).replace("\\", "")
    )
    return found[0]


def _unowned(found: Any) -> list[Any]:
    return [each for each in found["metadata"]["managedFields"] if each["manager"] != "conductor-loop"]


def played(api: ApiServer, ca: trustme.CA, exchange: Any) -> tuple[int, Any]:
    """Send a recorded request to the server; the answer."""
    request, token = exchange["request"], USERS[exchange["as"]]
    body = json.dumps(request["body"]).encode() if "body" in request else None
    headers = {"Authorization": f"Bearer {token}", "Content-Type": request.get("content_type", "application/json")}
    context = ssl.create_default_context(cadata=ca.cert_pem.bytes().decode())
    with closing(HTTPSConnection(api.url.removeprefix("https://"), context=context)) as connection:
        connection.request(request["method"], request["path"], body, headers)
        response = connection.getresponse()
        return response.status, json.load(response)


def comparable(value: Any) -> Any:
    """Return a document with what may differ made the same."""
    match value:
        case dict():
            return {key: _field(key, each) for key, each in value.items()}
        case list():
            return [comparable(each) for each in value]
        case str():
            return POD.sub(r"\1-xxxxx", value)
    return value


def _field(key: str, value: Any) -> Any:
    if key in {"uid", "resourceVersion", "creationTimestamp", "lastUpdateTime", "lastTransitionTime"}:
        return VOLATILE
    if key == "conditions":
        return sorted((comparable(each) for each in value), key=lambda each: str(each["type"]))
    return comparable(value)


def owners(document: Any) -> set[tuple[str, str, str, bool]]:
    """Take managedFields away, but for a Deployment's owners."""
    metadata = document.get("metadata", {})
    entries = metadata.pop("managedFields", [])
    if metadata.get("labels"):
        metadata["labels"].pop("test/pod-template-hash", None)
    if not metadata.get("labels"):
        metadata.pop("labels", None)
    for item in document.get("items", []):
        owners(item)
    return {
        (each["manager"], each["operation"], each.get("subresource", ""), "f:replicas" in _spec(each))
        for each in entries
        if document.get("kind") == "Deployment"
    }


def _spec(each: Any) -> Any:
    return each["fieldsV1"].get("f:spec", {})


def test_the_server_gives_the_recorded_answers(ca: trustme.CA) -> None:
    with serving(ApiServer(), ca) as api:
        story = Story(api)
        for number, exchange in enumerate(EXCHANGES):
            story.before(exchange["what"])
            status, document = played(api, ca, exchange)
            expected = copy.deepcopy(exchange["response"]["body"])
            where = f"{number}: {exchange['what']}"
            assert status == exchange["response"]["status"], where
            assert owners(document) == owners(expected), where
            assert comparable(document) == comparable(expected), where
    assert len(api.requests) == 44
