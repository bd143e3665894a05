"""Runs porch, as its caller does, against the cluster of a test."""

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import trustme
import yaml

from tests.integration.cluster.apiserver import ApiServer
from tests.unit.porch_program.support import call, write_intent

type Result = CompletedProcess[str]


def deployment(replicas: int = 1) -> dict[str, Any]:
    """Return spec and status of a Deployment that runs as it should."""
    labels = {"app": "cnf-simulator"}
    container = {"name": "cnf", "image": "cnf", "resources": {"requests": {"cpu": "100m"}}}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    counts = dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), replicas)
    return {
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template},
        "status": {"observedGeneration": 1, **{name: count for name, count in counts.items() if count}},
    }


@dataclass
class World:
    """One cluster, one intent, one directory."""

    api: ApiServer
    ca: trustme.CA
    directory: Path

    def porch(self, *flags: str, **environment: Any) -> Result:
        """Run porch with this cluster's kubeconfig, unless there is another in the environment.

        ``intent`` changes the default intent, and ``name`` in it the name of its file.
        """
        changes = dict(environment.pop("intent", {}))
        path = write_intent(self.directory, changes.pop("name", "intent-daily-001.json"), **changes)
        if "KUBECONFIG" not in environment:
            environment["KUBECONFIG"] = str(self.kubeconfig())
        return call("-intent", path, "-out", self.directory / "out", *flags, **environment)

    def kubeconfig(self, user: dict[str, Any] | None = None, /, **cluster: Any) -> Path:
        """Write a kubeconfig with this user and these changes to the cluster's entry."""
        entry = {"server": self.api.url, "certificate-authority-data": encoded(self.ca.cert_pem.bytes())} | cluster
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "contexts": [{"name": "test", "context": {"cluster": "here", "user": "porch"}}],
            "clusters": [
                {"name": "here", "cluster": {key: value for key, value in entry.items() if value is not None}}
            ],
            "users": [{"name": "porch", "user": {"token": self.api.token} if user is None else user}],
        }
        path = self.directory / "kubeconfig"
        path.write_text(yaml.safe_dump(document))
        return path

    def wrote(self) -> list[str]:
        """Return the names of the packages that are there."""
        out = self.directory / "out"
        return sorted(path.name for path in out.iterdir()) if out.exists() else []


def encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()


def report(result: Result) -> Any:
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)
