"""The deliveries that take a cluster: look at the Deployment, scale it, or bring the package to Porch."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from porch import directory, package
from porch.cluster import autoscaler, kubeconfig
from porch.cluster.client import Client, client
from porch.cluster.deadline import Deadline, deadline_of, seconds
from porch.cluster.deployment import Deployment, find
from porch.cluster.scaling import ScaleError, Terms, scale, would_scale
from porch.delivery import CHECK, REPOSITORY, SCALE
from porch.repository.api import Porch
from porch.repository.delivery import Delivered, Wish, deliver
from porch.repository.settings import Place, package_of, place_of, truth, workspace_of
from porch.standing import Standing

_OBSERVE_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Call:
    """What is to be done, by whose variables."""

    delivery: str
    kubeconfig: str  # path
    out: str  # path
    dry_run: bool = False  # look, and change nothing
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)


def carry_out(change: package.Change, call: Call) -> Standing:
    """Look at the cluster, write the package, and do what the delivery asks for besides."""
    deadline = deadline_of(call.environment)
    with deadline.kept():
        cluster = kubeconfig.load(call.kubeconfig)
        place = place_of(call.environment, cluster.namespace) if call.delivery == REPOSITORY else None
        terms = _terms(call.environment, deadline)
        asked = client(cluster)
        before = find(asked, change.intent)
        notes = () if call.delivery == CHECK else autoscaler.consult(asked, change.intent)
        change.previous = _previous(change, before)
        files = package.files(change)
        directory.write(call.out, change.package, files)
        if call.dry_run:
            return Standing(call.delivery, notes=(*notes, *_tried(asked, change, before, call.delivery)))
        if call.delivery == SCALE:
            return _scaled(asked, change, before, terms, notes)
        if place is None:
            return Standing(call.delivery, notes=notes)
        return _delivered(place, deliver(Porch(asked, place), _wish(change, files, place)), notes)


def _previous(change: package.Change, before: Deployment) -> int | None:
    # Found as wanted, and set by us: by an attempt at this intent that could not report it any more, or by the intent
    # before, whose replicas the caller knows.
    is_ours = before.replicas == change.intent.replicas and before.is_scaled_by_us
    return change.previous if is_ours else before.replicas


def _terms(environment: Mapping[str, str], deadline: Deadline) -> Terms:
    observe = seconds("PORCH_OBSERVE_SECONDS", environment.get("PORCH_OBSERVE_SECONDS", ""), _OBSERVE_SECONDS)
    return Terms(deadline, observe, truth("PORCH_READY", environment.get("PORCH_READY", "")))


def _scaled(
    asked: Client, change: package.Change, before: Deployment, terms: Terms, notes: tuple[str, ...]
) -> Standing:
    try:
        scaled = scale(asked, change.intent, before, terms)
    except ScaleError as error:
        error.standing = Standing(SCALE, error.pods)
        raise
    return Standing(SCALE, scaled.pods, (*notes, *scaled.notes))


def _tried(asked: Client, change: package.Change, before: Deployment, chosen: str) -> tuple[str, ...]:
    if chosen == SCALE:
        return would_scale(asked, change.intent, before)
    return ("Porch itself is not asked in a dry run",) if chosen == REPOSITORY else ()


def _wish(change: package.Change, files: Mapping[str, str], place: Place) -> Wish:
    return Wish(
        package=package_of(change.intent, place.repository),
        workspace=workspace_of(change.intent, change.package),
        description=f"Replicas of Deployment {change.intent.namespace}/{change.intent.target}",
        files=files,
    )


def _delivered(place: Place, delivered: Delivered, notes: tuple[str, ...]) -> Standing:
    standing = Standing(REPOSITORY, notes=(*notes, *delivered.notes))
    name, lifecycle = _plain(delivered.name), _plain(delivered.lifecycle)
    standing.lines = f"Package revision: {place.namespace}/{name} ({lifecycle})\n"
    revision = {"namespace": place.namespace, "name": delivered.name, "lifecycle": delivered.lifecycle}
    standing.fields = f',\n  "package_revision": {json.dumps(revision)}'
    return standing


def _plain(words: str) -> str:
    return ascii(words)[1:-1]  # the server's, and on its way to a terminal
