"""The deliveries that take a cluster: look at the Deployment, scale it, or bring the package to Porch."""

from argparse import Namespace

from porch import kubeconfig, package
from porch.client import Client, connect, load_deadline, seconds
from porch.deployment import Deployment, Terms, check_autoscalers, find, scale, would_scale
from porch.inputs import is_true
from porch.report import CHECK, REPOSITORY, SCALE, Outcome
from porch.repository import load_place, submit

_OBSERVE_SECONDS = 10


def deliver(change: package.Change, delivery: str, path: str, flags: Namespace) -> Outcome:
    """Look at the cluster of the kubeconfig at ``path``, write the package, and make the delivery."""
    deadline = load_deadline()
    with deadline.enforced():
        cluster = kubeconfig.load(path)
        place = load_place(cluster.namespace) if delivery == REPOSITORY else None
        terms = Terms(deadline, seconds("PORCH_OBSERVE_SECONDS", _OBSERVE_SECONDS), is_true("PORCH_READY"))
        client = connect(cluster)
        before = find(client, change.intent)
        notes = () if delivery == CHECK else check_autoscalers(client, change.intent)
        change.previous = _previous(change, before)
        package.write(flags.out, change)
        if flags.dry_run:
            outcome = Outcome(delivery, None, *_dry_run_notes(client, change, before, delivery))
        elif delivery == SCALE:
            outcome = scale(client, change.intent, before, terms)
        elif place:
            outcome = submit(client, place, change)
        else:
            outcome = Outcome(delivery)
        outcome.notes = (*notes, *outcome.notes)
        return outcome


def _previous(change: package.Change, before: Deployment) -> int | None:
    # Found as wanted, and set by us: by an attempt at this intent that could not report it any more, or by the intent
    # before, whose replicas the caller knows.
    is_ours = before.replicas == change.intent.replicas and before.is_scaled_by_us
    return change.previous if is_ours else before.replicas


def _dry_run_notes(client: Client, change: package.Change, before: Deployment, delivery: str) -> tuple[str, ...]:
    if delivery == SCALE:
        return would_scale(client, change.intent, before)
    return ("Porch itself is not asked in a dry run",) if delivery == REPOSITORY else ()
