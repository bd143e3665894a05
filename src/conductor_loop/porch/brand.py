"""The mark that everything a run starts inherits, and who answers for one: a hard limit that no other run has."""

import fcntl
import os
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# RLIMIT_LOCKS (Linux, every architecture): inherited like any limit, and not looked at by any kernel since 2.4.25, so
# that we may bear it for a moment ourselves, and no program has a reason to set it.
MARK = 10
_OWNER_BITS, _RANDOM_BITS = 22, 38  # of a brand; 22 bits hold any process id
_BRANDS = 2**62 >> _OWNER_BITS + _RANDOM_BITS  # what stands before them in every brand
_STARTING = threading.Lock()
_live: set[int] = set()  # brands of the runs of this process


@contextmanager
def branded() -> Iterator[int]:
    """Yield a brand, a number no other run has; it is in use until the context ends.

    A brand names the process that made it, so that two workers of one user tell their runs apart. That process holds a
    lock at the brand's place in a file of its own: the kernel lists who holds it (``/proc/locks``), nobody else can
    take it in its name, and it is gone when the process is.
    """
    owner = os.getpid() % 2**_OWNER_BITS
    random = int.from_bytes(os.urandom(8)) % 2**_RANDOM_BITS
    brand = (_BRANDS << _OWNER_BITS | owner) << _RANDOM_BITS | random
    _live.add(brand)
    try:
        with _locked(brand):
            yield brand
    finally:
        _live.discard(brand)


@contextmanager
def _locked(place: int) -> Iterator[None]:
    try:
        descriptor = os.memfd_create("brand")
    except OSError:  # a sandbox refuses: what it lets see of other workers is its own affair
        yield
        return
    try:
        with suppress(OSError):
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def branding(brand: int) -> Iterator[None]:
    """Brand everything that this process starts meanwhile, and so all its descendants.

    As a soft limit, which whatever other threads start in this moment bears as well; see `Family` for the difference.
    Neither `setsid` nor an emptied environment takes a limit away; see `Family` for what lowering it does.
    """
    with _STARTING:
        ours = marks_of(0)
        if not ours:  # a sandbox refuses: two other marks remain
            yield
            return
        with suppress(ValueError):  # we are under such a limit ourselves, or may not set one: likewise
            resource.setrlimit(MARK, (brand, ours[1]))
        try:
            yield
        finally:
            with suppress(ValueError):
                resource.setrlimit(MARK, ours)


def is_brand(mark: int) -> bool:
    """Whether a mark was some run's."""
    return mark >> _OWNER_BITS + _RANDOM_BITS == _BRANDS


def is_answered_for(brand: int) -> bool:
    """Whether the worker that a brand names lives, and says that the brand is its own."""
    if brand in _live:
        return True
    worker = _owner(brand)
    if worker == os.getpid() or not name_alive(worker) or hard_limit(worker, MARK) != resource.RLIM_INFINITY:
        return False
    claims = _claims()
    return claims is None or (worker, brand) in claims  # a system that does not tell: to be alive has to do


def workers() -> set[int]:
    """Find the processes that hold a brand now, whether they could put it on their runs or not."""
    return {pid for pid, _ in _claims() or ()}


def _owner(brand: int) -> int:
    return brand >> _RANDOM_BITS & (1 << _OWNER_BITS) - 1


def _claims() -> set[tuple[int, int]] | None:
    """Say who holds which brand by a lock at its place; ``None`` where the system does not tell."""
    try:
        locks = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return None
    held = {(int(fields[-4]), int(fields[-2])) for fields in map(str.split, locks) if fields[-2].isdigit()}
    return {(pid, place) for pid, place in held if is_brand(place) and _owner(place) == pid % 2**_OWNER_BITS}


def name_alive(pid: int) -> str | None:
    """Name a process, unless it is dead and only waits to be reaped."""
    with suppress(OSError):
        name, _, rest = Path(f"/proc/{pid}/stat").read_text(errors="replace").partition(" (")[2].rpartition(") ")
        return None if rest[0] in "ZX" else name
    return None


def parent_of(pid: int) -> int:
    """Name the parent of a process; 0 if there is none, or it is gone."""
    with suppress(OSError):
        return int(Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(") ")[2].split()[1])
    return 0


def marks_of(pid: int) -> tuple[int, int] | None:
    """Give the mark that a process bears as a soft and as a hard limit; process 0 is this one."""
    with suppress(OSError, ValueError):  # it is gone, or not ours to ask; or the system does not know the limit
        return resource.prlimit(pid, MARK)
    return None


def hard_limit(pid: int, kind: int) -> int | None:
    """Give a hard limit of a process; process 0 is this one."""
    with suppress(OSError, ValueError):  # as in `marks_of`
        return resource.prlimit(pid, kind)[1]
    return None


def is_below(value: int, hard: int | None) -> bool:
    """Whether a hard limit is a value or lower."""
    return hard is not None and hard != resource.RLIM_INFINITY and hard <= value
