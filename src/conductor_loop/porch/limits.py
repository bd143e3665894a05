"""The bounds of one run; the kernel enforces some, for each process."""

import resource
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, auto

_MIB = 1024**2
_GO_RESERVES_BYTES = 1024 * _MIB


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one run. Sizes are bytes, times are seconds.

    The kernel enforces those marked *each*, for every process. The others are of the whole run, checked while it runs.
    """

    memory_bytes: int = 512 * _MIB  # each: private memory
    file_descriptors: int = 1024  # each: open at once
    file_bytes: int = 64 * _MIB  # each: the largest file it may write
    disk_bytes: int = 128 * _MIB  # everything in the work directory; a quarter of Lambda's smallest /tmp
    disk_entries: int = 10_000  # files and directories in the work directory: inodes run out as well
    tasks: int = 256  # processes and threads; a quarter of what a function may have
    output_bytes: int = _MIB  # printed, standard output and error together
    kept_output_bytes: int = 16 * 1024  # of each stream, kept for the status
    package_files: int = 100  # in the package; as many directories
    package_bytes: int = 10 * _MIB  # of all files in the package
    grace_seconds: float = 2.0  # from SIGTERM to SIGKILL

    def impose(self, pids: Iterable[int]) -> None:
        """Set the limits of running processes, which all that they start inherits.

        From outside: code between fork and exec is not safe beside threads. A process runs without limits for a moment.
        """
        # Memory is RLIMIT_DATA: RLIMIT_AS counts what is merely reserved, and every Go program reserves 600 MiB at its
        # start. RLIMIT_AS, with room for that, remains for shared mappings, which RLIMIT_DATA does not count.
        wanted = {
            resource.RLIMIT_CORE: 0,
            resource.RLIMIT_DATA: self.memory_bytes,
            resource.RLIMIT_AS: self.memory_bytes + _GO_RESERVES_BYTES,
            resource.RLIMIT_NOFILE: self.file_descriptors,
            resource.RLIMIT_FSIZE: self.file_bytes,
        }
        for pid in pids:
            with suppress(ProcessLookupError, PermissionError):  # it has ended, or a sandbox refuses
                for kind, value in wanted.items():
                    _lower(pid, kind, value)


def _lower(pid: int, kind: int, value: int) -> None:
    _, hard = resource.prlimit(pid, kind)
    bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.prlimit(pid, kind, (bound, bound))


class Stop(Enum):
    """Why a run was ended."""

    TIME = auto()
    OUTPUT = auto()
    DISK = auto()
    TASKS = auto()
