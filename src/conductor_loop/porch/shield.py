"""Our credentials, kept from what we start.

On Lambda they stand in our environment and in our memory, and porch runs as the same user: without this, ``/proc/<our
pid>/environ`` and ``…/mem`` are its to read.
"""

import ctypes
from contextlib import suppress
from functools import cache
from pathlib import Path

_PR_SET_DUMPABLE = 4
_ENVIRONMENT = slice(47, 49)  # of /proc/self/stat, behind the name: where it was put when we started (proc_pid_stat(5))


@cache
def hide_ourselves() -> None:
    """Close what ``/proc`` tells other processes of our user about us; once is enough for a process, more do no harm.

    Not dumpable (prctl(2)): nobody of our user may read our memory, environment and descriptors, or attach to us. It
    ends at ``exec``, so porch itself can be debugged as ever. Lambda is known to refuse other uses of `prctl`; hence
    the environment is wiped from the place that ``/proc/<pid>/environ`` shows as well. Afterwards Python's
    environ and ``getenv`` answer as before. Where one is refused, the other remains.
    """
    with suppress(OSError, ValueError, AttributeError, IndexError):  # another libc, or no /proc
        libc = ctypes.CDLL(None)
        _forget_environment(libc)
        libc.prctl(_PR_SET_DUMPABLE, *map(ctypes.c_ulong, (0, 0, 0, 0)))


def _forget_environment(libc: ctypes.CDLL) -> None:
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    start, end = map(int, fields[_ENVIRONMENT])
    environment = ctypes.POINTER(ctypes.c_void_p).in_dll(libc, "environ")
    libc.strdup.restype = ctypes.c_void_p
    index = 0
    while address := environment[index]:
        if start <= address < end:  # what was set since then lies elsewhere already
            environment[index] = libc.strdup(ctypes.c_void_p(address))
        index += 1
    ctypes.memset(start, 0, end - start)
