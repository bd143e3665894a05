"""The function's credentials, kept from the programs that it starts.

On Lambda they are in this process's environment and memory, and porch runs as the same user: without this, it may read
``/proc/<pid>/environ`` and ``…/mem``.
"""

import ctypes
from contextlib import suppress
from functools import cache
from pathlib import Path

_PR_SET_DUMPABLE = 4
_ENVIRONMENT = slice(47, 49)  # of /proc/self/stat, behind the name: its initial place in memory (proc_pid_stat(5))


@cache
def harden_process() -> None:
    """Hide this process's memory, environment and descriptors from other processes of its user.

    Not dumpable (prctl(2)), until ``exec``, so that porch itself can be debugged. Lambda refuses other uses of `prctl`,
    so the environment is also wiped from the place that ``/proc/<pid>/environ`` shows; Python's environ and ``getenv``
    work as before.
    """
    with suppress(OSError, ValueError, AttributeError, IndexError):  # another libc, or no /proc
        libc = ctypes.CDLL(None)
        _wipe_environment(libc)
        libc.prctl(_PR_SET_DUMPABLE, *map(ctypes.c_ulong, (0, 0, 0, 0)))


def _wipe_environment(libc: ctypes.CDLL) -> None:
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    start, end = map(int, fields[_ENVIRONMENT])
    environment = ctypes.POINTER(ctypes.c_void_p).in_dll(libc, "environ")
    libc.strdup.restype = ctypes.c_void_p
    index = 0
    while address := environment[index]:
        if start <= address < end:  # variables that were set later lie elsewhere
            environment[index] = libc.strdup(ctypes.c_void_p(address))
        index += 1
    ctypes.memset(start, 0, end - start)
