"""Publishing: a package's files, in their place, under a claim."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from conductor_loop import status
from conductor_loop.app import App
from conductor_loop.errors import Overtaken
from conductor_loop.intent import Handoff
from conductor_loop.lifecycle import Claim, State, Target
from conductor_loop.porch import Package


@dataclass(frozen=True, slots=True)
class _Upload:
    """The files of a package, and where they belong; ``unclean`` where other files may be, which do not."""

    claim: Claim
    prefix: str
    files: Mapping[str, bytes]  # by key
    unclean: bool


def publish(app: App, claim: Claim, package: Package, target: Target) -> status.Published:
    """Upload the package; where files are in its place, a dead attempt left them, or a successor has written them."""
    prefix = f"{packages(claim.target)}{package.name}/"
    upload = _Upload(claim, prefix, {prefix + path: body for path, body in package.files.items()}, target.unclean)
    app.state.note_package(claim.handoff, prefix, app.clock())  # first: whoever takes it back must know where it is
    if app.clock() >= claim.lease_until:
        raise Overtaken
    try:
        _upload(app, upload)
    except Overtaken:
        app.bucket.retract(claim.handoff, prefix, claim.owner)  # this worker is late, and its files are nobody's
        raise
    return status.Published(package.name, prefix, tuple(sorted(package.files)))


def take_back(app: App, handoff: Handoff, keep: Collection[str] = ()) -> None:
    """Delete what attempts at a handoff have published, but for the keys to ``keep``; doing it twice changes nothing.

    Each attempt has noted where it would publish: the history of a target is not searched.
    """
    for prefix in sorted(app.state.noted_packages(handoff)):
        app.bucket.retract(handoff, prefix, keep=keep)


def _upload(app: App, upload: _Upload) -> None:
    """Behind an attempt that did not end cleanly, look at the place first and last: there may be other files in it."""
    if upload.unclean:
        _replace(app, upload)
        if app.bucket.leftovers(upload.claim.handoff, upload.prefix).keys() != upload.files.keys():
            _replace(app, upload)  # the worker before was not dead, only late
        return
    try:
        app.bucket.publish(upload.claim, upload.files, {})
    except Overtaken:
        _replace(app, upload)


def _replace(app: App, upload: _Upload) -> None:
    replacing = app.bucket.leftovers(upload.claim.handoff, upload.prefix)
    _check_claim(app, upload.claim)  # after the look: what was seen then, no successor has written
    app.bucket.publish(upload.claim, upload.files, replacing)


def packages(target: str) -> str:
    """Give the prefix of everything that is published for a target ``namespace/name``."""
    return f"packages/{target}/"


def _check_claim(app: App, claim: Claim) -> None:
    """Ask the table, since a clock may be wrong, whether the claim is in force still: on the handoff and its target.

    Another intent may have taken the target, and published there, while nobody has taken over the handoff.
    """
    row = app.state.find([claim.handoff]).get(claim.handoff)
    if row is None or (row.state, row.owner, row.attempt) != (State.PROCESSING, claim.owner, claim.attempt):
        raise Overtaken
    if app.state.target(claim.target).lease_owner != claim.owner:
        raise Overtaken
