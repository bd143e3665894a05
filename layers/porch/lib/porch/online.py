"""What porch does more when a kubeconfig is given: look at the cluster first, and bring the package to Porch after."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass

from porch import directory, package
from porch.cluster import budget, kubeconfig
from porch.cluster.checks import check
from porch.cluster.client import client
from porch.repository.api import Porch
from porch.repository.delivery import Delivered, Wish, deliver
from porch.repository.settings import Place, package_of, place_of, workspace_of
from porch.standing import Standing


@dataclass(frozen=True, slots=True)
class Paths:
    """Where the kubeconfig is, and where the package goes."""

    kubeconfig: str
    out: str


def carry_out(change: package.Change, paths: Paths, environment: Mapping[str, str] = os.environ) -> Standing:
    """Check the intent against the cluster, write its package, and deliver that where the environment says."""
    with budget.spending(budget.seconds(environment.get("PORCH_CLUSTER_SECONDS", ""))):
        cluster = kubeconfig.load(paths.kubeconfig)
        place = place_of(environment, cluster.namespace)
        asked = client(cluster)
        findings = check(asked, change.intent)
        change.previous = findings.replicas
        files = package.files(change)
        directory.write(paths.out, change.package, files)
        if place is None:
            return _standing(findings.notes, None, None)
        return _standing(findings.notes, place, deliver(Porch(asked, place), _wish(change, files)))


def _wish(change: package.Change, files: Mapping[str, str]) -> Wish:
    return Wish(
        package=package_of(change.intent),
        workspace=workspace_of(change.intent, change.package),
        description=f"Replicas of Deployment {change.intent.namespace}/{change.intent.target}",
        files=files,
    )


def _standing(notes: tuple[str, ...], place: Place | None, delivered: Delivered | None) -> Standing:
    lines, fields = "Cluster: checked\n", '"cluster": "checked"'
    if place and delivered:
        notes = (*notes, *delivered.notes)
        lines += f"Package revision: {place.namespace}/{_plain(delivered.name)} ({_plain(delivered.lifecycle)})\n"
        revision = {"namespace": place.namespace, "name": delivered.name, "lifecycle": delivered.lifecycle}
        fields += f',\n  "package_revision": {json.dumps(revision)}'
    return Standing(lines, fields, notes)


def _plain(words: str) -> str:
    return ascii(words)[1:-1]  # the server's, and on its way to a terminal
