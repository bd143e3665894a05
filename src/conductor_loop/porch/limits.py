"""The bounds of one run; the kernel enforces some, for each process."""

from dataclasses import dataclass
from enum import Enum, auto

_MIB = 1024**2


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


class Stop(Enum):
    """Why a run was ended."""

    TIME = auto()
    OUTPUT = auto()
    DISK = auto()
    TASKS = auto()
