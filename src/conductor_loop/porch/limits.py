"""The bounds of one run, and what is done to a run that breaks one."""

from dataclasses import dataclass
from enum import Enum, auto

_MIB = 1024**2


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one run. Sizes are bytes, times are seconds.

    The kernel holds those marked *each*, for every process of the run; the others hold for the run as a whole, are
    looked at while it runs (`Watch`), and whoever breaks one is ended with all that it started.
    """

    memory_bytes: int = 512 * _MIB  # private memory: each; with shared memory: all of the run together
    file_descriptors: int = 1024  # each: open at once
    file_bytes: int = 64 * _MIB  # each: the largest file it may write
    disk_bytes: int = 128 * _MIB  # everything in the work directory; a quarter of Lambda's smallest /tmp
    disk_entries: int = 10_000  # files and directories in the work directory: inodes run out as well
    tasks: int = 256  # processes and threads; a quarter of what a function may have
    output_bytes: int = _MIB  # all that a run may print, standard output and error together
    kept_output_bytes: int = 16 * 1024  # of each stream, kept for the status
    package_files: int = 100  # in the package; as many directories
    package_bytes: int = 10 * _MIB  # of all files in the package
    grace_seconds: float = 2.0  # from SIGTERM to SIGKILL


class Stop(Enum):
    """Why we ended a run that had not ended itself."""

    TIME = auto()
    OUTPUT = auto()
    DISK = auto()
    DISK_ELSEWHERE = auto()  # beside the work directory
    TASKS = auto()
    MEMORY = auto()
