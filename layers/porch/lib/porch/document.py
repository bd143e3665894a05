"""A JSON object from a file that anybody may have written."""

import os
import stat
from _json import make_scanner

from porch.errors import INVALID_INTENT, PorchError

MAX_BYTES = 10 * 1024 * 1024  # the specification's max_file_size


def read(path: str) -> dict[str, object]:
    """Return the object in the file at ``path``; anything else raises ``PorchError``."""
    try:
        text = _read_bytes(path).decode().removeprefix("\ufeff")  # RFC 8259 lets a reader pass over a byte order mark
    except OSError as error:
        raise _invalid(f"{path!a} cannot be read ({error.strerror}): give -intent a file of yours") from None
    except UnicodeDecodeError as error:
        raise _invalid(f"{path!a} is not UTF-8 at byte {error.start}: save it as UTF-8") from None
    try:
        document = _parse(text)
    except (ValueError, StopIteration, RecursionError) as error:
        raise _invalid(f"{path!a} is not JSON ({_why(error)}): send one JSON object") from None
    if not isinstance(document, dict):
        raise _invalid("$ must be an object: put the fields of the intent between { and }")
    return document


def _read_bytes(path: str) -> bytes:
    # Non-blocking, or a FIFO would keep porch waiting for a writer for ever.
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise _invalid(f"{path!a} is not a regular file: give -intent the JSON file itself")
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise _invalid(f"{path!a} is larger than {MAX_BYTES} bytes: shorten it")
    return content


class _Dialect:
    """What JSON to accept: RFC 8259, with 3.0 as the integer 3 (as JSON Schema has it), without NaN."""

    strict = True
    object_hook = None
    parse_int = int

    @staticmethod
    def object_pairs_hook(pairs: list[tuple[str, object]]) -> dict[str, object]:
        fields = dict(pairs)
        if len(fields) < len(pairs):  # {"replicas": 1, "replicas": 9}: readers differ in which one counts
            raise ValueError("a key occurs twice in one object")
        return fields

    @staticmethod
    def parse_float(text: str) -> float:
        number = float(text)
        return int(number) if number.is_integer() else number

    @staticmethod
    def parse_constant(name: str) -> None:
        raise ValueError(f"{name} is not a JSON value")


def _parse(text: str) -> object:
    # The scanner inside json.loads. json itself imports re and with it half of the time porch needs to start.
    text = text.strip(" \t\r\n")
    document, end = make_scanner(_Dialect())(text, 0)  # type: ignore[arg-type] # typeshed asks for a scanner
    if end != len(text):
        raise ValueError(f"more text follows its end at character {end}")
    return document


def _why(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "nested too deeply"
    return "no value where one must be" if isinstance(error, StopIteration) else str(error)


def _invalid(message: str) -> PorchError:
    return PorchError(INVALID_INTENT, message)
