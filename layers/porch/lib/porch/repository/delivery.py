"""One intent's package to one package revision: found or created, filled, proposed and, if wanted, published.

Every step looks at what is there, so a run that was killed anywhere is continued by the next one.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass

from porch.delivery import REPOSITORY
from porch.errors import REFUSED, UNREACHABLE, PorchError
from porch.report import Outcome
from porch.repository.api import DELETION_PROPOSED, DRAFT, PROPOSED, PUBLISHED, Conflict, Porch, Revision
from porch.repository.contents import merged, says_the_same
from porch.repository.settings import WORKSPACE_PREFIX

_PAUSES = (0.1, 0.3, 0.9, 2.7)  # seconds after a conflict


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be in the repository. The package and the workspace are Porch's names."""

    package: str
    workspace: str
    description: str
    files: Mapping[str, str]


def bring(porch: Porch, wish: Wish) -> Outcome:
    """Bring ``wish`` into the repository.

    Raises ``PorchError`` when Porch refuses (3, 76, 78), does not answer (4), or others are faster every time (4).
    """
    for pause in (*_PAUSES, None):
        try:
            return _publish(porch, _propose(porch, wish, _revision(porch, wish)))
        except Conflict as conflict:
            if pause is None:
                message = f"package {wish.package} keeps changing in Porch ({conflict}): try again later"
                raise PorchError(UNREACHABLE, message) from None
            time.sleep(pause)
    raise AssertionError  # the loop returns or raises


def _revision(porch: Porch, wish: Wish) -> Revision:
    """Return this intent's revision: its own, the one that says the same, one to take over, or a new one."""
    if own := porch.find(wish.package, wish.workspace):
        return _kept(porch, own)
    revisions = list(porch.revisions(wish.package))
    published = [each for each in revisions if each.is_published]
    if published:
        latest = max(published, key=lambda each: each.number)
        # One that is about to be deleted delivers nothing, though a new one can still start from it.
        if latest.lifecycle == PUBLISHED and says_the_same(porch.contents(latest)[1], wish.files):
            return latest
        task = {"type": "edit", "edit": {"sourceRef": {"name": latest.name}}}
        return porch.create(wish.package, wish.workspace, task)
    if revisions:
        return _to_take_over(wish, revisions)
    return porch.create(wish.package, wish.workspace, {"type": "init", "init": {"description": wish.description}})


def _kept(porch: Porch, own: Revision) -> Revision:
    # Its workspace is taken until it is deleted, so there is no second one to make for this wish.
    if own.lifecycle != DELETION_PROPOSED:
        return own
    if porch.place.publish:
        return porch.move(own, PUBLISHED)
    raise PorchError(
        REFUSED,
        f"package revision {own.name} carries this intent, and its deletion is proposed: reject that "
        "(porchctl rpkg reject), or send the intent again once it is deleted",
    )


def _to_take_over(wish: Wish, revisions: list[Revision]) -> Revision:
    # Until one is published, Porch makes no second revision of a package: "init" finds the package there, "edit" has
    # nothing to start from. The one that is there is an older intent's, which this one replaces, or not ours to touch.
    only = revisions[0]
    if len(revisions) == 1 and only.lifecycle in {DRAFT, PROPOSED} and only.workspace.startswith(WORKSPACE_PREFIX):
        return only
    names = ", ".join(each.name for each in revisions[:3])
    raise PorchError(
        REFUSED,
        f"package {wish.package} has no published revision to start from, and {names} is not of porch's making: "
        "publish it, or delete it",
    )


def _propose(porch: Porch, wish: Wish, revision: Revision) -> Revision:
    if revision.lifecycle == PROPOSED and revision.workspace != wish.workspace:
        if says_the_same(porch.contents(revision)[1], wish.files):
            return revision
        revision = porch.move(revision, DRAFT)  # in which alone files can be changed
    if revision.lifecycle != DRAFT:
        return revision  # an earlier attempt has filled it
    document, present = porch.contents(revision)
    files = merged(present, wish.files)
    if files != present:
        porch.fill(document, files)
        fresh = porch.find(wish.package, revision.workspace)
        if fresh is None or fresh.lifecycle != DRAFT:
            raise Conflict("it was moved on or deleted while it was written")
        revision = fresh
    return porch.move(revision, PROPOSED)


def _publish(porch: Porch, revision: Revision) -> Outcome:
    notes: tuple[str, ...] = ()
    if revision.is_published and not revision.is_latest:
        # Others came after it, perhaps rightly so: nothing to undo, but not what one who sends it again expects.
        notes = (f"package revision {revision.name} was published before, and is not the latest one any more",)
    elif revision.lifecycle == PROPOSED and porch.place.publish:
        if revision.is_ready:
            revision = porch.move(revision, PUBLISHED)
        else:
            notes = (f"package revision {revision.name} stays Proposed: its readiness gates are not met yet",)
    outcome = Outcome(REPOSITORY, None, *notes)
    outcome.revision = {"namespace": porch.place.namespace, "name": revision.name, "lifecycle": revision.lifecycle}
    return outcome
