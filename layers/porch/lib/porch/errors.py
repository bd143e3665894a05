"""How porch fails. The exit codes are its contract with its caller."""

INVALID_INTENT = 1  # 1 to 5: the specification's "Porch Error Codes"; 124 to 127 have meanings there too
NOT_FOUND = 2
FORBIDDEN = 3
UNREACHABLE = 4
QUOTA = 5
WRONG_USAGE = 64  # EX_USAGE of sysexits.h: outside the specification's table, so it is not retried
BUG = 70  # EX_SOFTWARE
NO_MEMORY = 71  # EX_OSERR
CANNOT_WRITE = 74  # EX_IOERR
REFUSED = 76  # EX_PROTOCOL: the cluster understood the request and will not do it, now or later
MISCONFIGURED = 78  # EX_CONFIG
TIMED_OUT = 124  # what timeout(1) reports
CANNOT_START = 127  # what shells report for a program that is missing
INTERRUPTED = 130  # what shells report for SIGINT


class PorchError(Exception):
    """Ends the run with an exit code; each message names what is wrong and the next step."""

    def __init__(self, exit_code: int, *messages: str) -> None:
        super().__init__("; ".join(messages))
        self.exit_code = exit_code
        self.messages = messages
