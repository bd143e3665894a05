"""What validation costs, in time and memory, against parsing the same bytes with ``json.loads`` in the same run.

Exits 1 if an honest intent takes MOST_MILLISECONDS, if a hostile file of twice the size takes MOST_GROWTH times as
long or needs MOST_MEMORY times its size, or if a batch of the worst takes MOST_BATCH_SECONDS of a processor or
MOST_BATCH_MEGABYTES.
"""

import json
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

from bench.memory import peak_kilobytes
from conductor_loop.validation import Rules, inspect
from conductor_loop.validation.rules import BOUNDS

MEGABYTE = 1024 * 1024
MOST_MEMORY = 10  # times a file of ten megabytes
MOST_GROWTH = 3
MOST_MILLISECONDS = 1.0
MOST_RUNS = 3
BATCH = 10  # files, as the template's largest BatchSize
WORST = 5  # shapes, by time and by memory, that a batch is made of
MOST_BATCH_SECONDS = 10.0
MOST_BATCH_MEGABYTES = 512  # half of the template's MemorySize, the process included

INTENT = {
    "intent_type": "scaling",
    "target": "critical-service",
    "namespace": "production",
    "replicas": 10,
    "reason": "Emergency response to high load. " * 14,
    "source": "automation",
    "priority": "critical",
    "timeout": "10s",
    "correlation_id": "emergency-2024-08-15-001",
    "metadata": {"alert_id": "ALT-12345", "automated_response": True, "notes": ["checked by planner"] * 12},
}
COLD = """
import time
start = time.perf_counter()
from conductor_loop.validation import Rules, inspect
from conductor_loop.validation.rules import BOUNDS
imported = time.perf_counter()
inspect(b"{}")
done = time.perf_counter()
print(f"{(imported - start) * 1e3:.0f} ms to import, {(done - imported) * 1e3:.0f} ms for the first file")
"""


def repeated(prefix: str, unit: str, suffix: str) -> Callable[[int], bytes]:
    """Make a file of about so many bytes."""

    def make(size: int) -> bytes:
        body = unit.encode()
        return prefix.encode() + body * ((size - len(prefix) - len(suffix)) // len(body)) + suffix.encode()

    return make


def fields(value: str) -> Callable[[int], bytes]:
    """Make a file of about so many bytes, of ever new fields with one value each."""
    unit = f'"k{{:06}}": {json.dumps(value, ensure_ascii=False)},'

    def make(size: int) -> bytes:
        number = size // len(unit.format(0).encode())
        return ("{" + "".join(map(unit.format, range(number))) + '"end": 1}').encode()

    return make


def filled(number: int, value: str) -> Callable[[int], bytes]:
    """Make a file of about so many bytes, of so many fields with a value and of plain text, as much as is allowed."""

    def make(size: int) -> bytes:
        worst = [f'"w{one}": "{value}"' for one in range(number)]
        room = size - sum(len(field.encode()) + 1 for field in worst)
        plain = [f'"p{one}": "{"a" * 1000}"' for one in range(min(room // 1012, 11_900 - number))]
        return ("{" + ",".join(worst + plain) + "}").encode()

    return make


HOSTILE = {
    "opening brackets": repeated("", "[", ""),
    "closing brackets": repeated("", "]", ""),
    "empty arrays": repeated("[", "[],", "[]]"),
    "empty objects": repeated("[", "{},", "{}]"),
    "numbers": repeated("[", "1,", "1]"),
    "one number": repeated('{"replicas": ', "1", "}"),
    "white space": repeated("{", " ", "}"),
    "one string": repeated('{"reason": "', "a", '"}'),
    "one string of emoji": repeated('{"reason": "', "😀", '"}'),
    "one string of escapes": repeated('{"reason": "', "\\u0041", '"}'),
    "quotes": repeated("", '"', ""),
    "escaped quotes": repeated("", '\\"', ""),
    "backslashes": repeated('{"reason": "', "\\\\", '"}'),
    "one key, again and again": repeated("{", '"a":1,', '"a":1}'),
    "not UTF-8": lambda size: b"\xff" * size,
    "fields of 1,000 letters": fields("a" * 1000),
    "fields of attacks": fields("../;$(rm)%252e%252e%252f\x1b\u202e" * 30),
    "fields of combining marks": fields("a\u0315\u0316" * 300),
    "fields of long runs of marks": fields("\u0315\u0316" * 500),
    "fields of emoji": fields("😀" * 1000),
    "fields of one emoji in letters": fields("a" * 999 + "😀"),
    "fields of full-width letters": fields("\uff52\uff4d\uff1b" * 340),
    "fields, as many as are allowed": fields(";" * 100),
    "a timeout of zeros": repeated('{"timeout": "', "0", '"}'),
    "fields of percent signs": fields("%25" * 340),
    "percent signs, encoded ever again": fields("%" + "25" * 400),
    "the same between accents": fields(("%" + "25" * 100 + "\u00e9") * 4),
    "fields of accents": fields("\u00e9" * 1000),
    "plain fields, as many as are allowed": lambda size: fields("a" * (size // 11_900 - 14))(size),
    "fields of NaN": lambda _: ("{" + ",".join(f'"k{one}": NaN' for one in range(11_900)) + "}").encode(),
    "fields of long numbers": lambda size: fields("")(11_900 * 12).replace(b'""', b"9" * (size // 11_900 - 13)),
    "repeated plain fields": lambda size: fields("a" * 870)(size // 2).replace(b'"end": 1}', b"")[:-1] * 2 + b"}",
    "plain fields, then one emoji": lambda size: fields("a" * 1000)(size).replace(b"1}", '"\U0001f600"}'.encode()),
    "plain fields in escapes": repeated("{", f'"k": "{chr(92)}u0061{"a" * 1000}",', '"end": 1}'),
    "too many letters": fields("a" * 12_000),
    "ligatures of 18 letters": filled(64, "\ufdfa" * 1000),
    "directional marks": filled(64, "\u200e " * 500),
    "joiners": filled(64, "a\u200d" * 500),
    "slashes": filled(64, "a/" * 500),
    "backslashes in fields": filled(64, "\\" * 1000),
    "short ligatures": filled(2_000, "\ufdfa" * 31),
    "short attacks": filled(2_000, "\u202e;/%"),
    "decompositions": filled(64, "\u1100\u1161" * 500),
    "words that hold words of the list": filled(64, "an alarm " * 110),
    "arrays, then a long string": repeated("[" + "[]," * 1_000_000 + '"', "a", ""),
}


def seconds(action: Callable[[], object]) -> float:
    """Time the fastest of up to three runs; a long run needs no second one."""
    times: list[float] = []
    while len(times) < MOST_RUNS and sum(times) < 1:
        start = time.perf_counter()
        with suppress(ValueError, RecursionError):
            action()
        times.append(time.perf_counter() - start)
    return min(times)


def peak_bytes(action: Callable[[], object]) -> int:
    """Measure what Python allocates beyond the file itself, at its highest."""
    tracemalloc.start()
    with suppress(ValueError, RecursionError):
        action()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def honest() -> bool:
    """Print what an honest intent of a kilobyte costs."""
    body = json.dumps(INTENT).encode()
    assert inspect(body).valid
    rounds = 1_000
    ours = seconds(lambda: [inspect(body) for _ in range(rounds)]) / rounds
    parsing = seconds(lambda: [json.loads(body) for _ in range(rounds)]) / rounds
    print(f"an intent of {len(body)} bytes, warm: {ours * 1e3:.3f} ms, {ours / parsing:.0f} times json.loads")
    cold = subprocess.run([sys.executable, "-c", COLD], capture_output=True, text=True, check=True)
    print(f"cold: {cold.stdout.strip()}")
    return ours * 1e3 < MOST_MILLISECONDS


def longest_timeout() -> bool:
    """Print what the longest timeout that any configuration lets through to the business rules costs."""
    rules = Rules(max_field_length=BOUNDS["max_field_length"][1])
    half, whole = (json.dumps({"timeout": "0" * size}).encode() for size in (32_768, 65_536))
    time_half, time_whole = seconds(lambda: inspect(half, rules)), seconds(lambda: inspect(whole, rules))
    print(f"a timeout of 65,536 zeros: {time_whole * 1e3:.1f} ms, of half as many: {time_half * 1e3:.1f} ms")
    return time_whole < MOST_GROWTH * max(time_half, 0.01)


@dataclass(frozen=True, slots=True)
class Cost:
    """What a hostile file of ten megabytes costs."""

    seconds: float
    memory: float  # times its size
    holds: bool


def hostile(name: str, make: Callable[[int], bytes]) -> Cost:
    """Print what a hostile file of ten megabytes costs, and how that grows from five."""
    half, whole = make(5 * MEGABYTE), make(10 * MEGABYTE)
    report = inspect(whole)
    assert not report.valid
    time_half, time_whole = seconds(lambda: inspect(half)), seconds(lambda: inspect(whole))
    growth = time_whole / max(time_half, 0.01)  # below ten milliseconds there is nothing to compare
    parsing = seconds(lambda: json.loads(whole))
    memory = peak_bytes(lambda: inspect(whole)) / len(whole)
    plain = peak_bytes(lambda: json.loads(whole)) / len(whole)
    print(
        f"{name:37} {time_whole:8.3f} s {parsing:12.3f} s {growth:9.1f} {memory:8.1f} {plain:12.1f}  "
        f"{report.violations[0].rule}"
    )
    most_bytes = MOST_MEMORY * 10 * MEGABYTE  # a shape of as many fields as are allowed is a smaller file
    return Cost(time_whole, memory, growth < MOST_GROWTH and memory * len(whole) < most_bytes)


def batch(name: str) -> bool:
    """Print what a batch of a hostile file costs, side by side as the function validates one, in another process."""
    command = [sys.executable, "-m", "bench.validation", name]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    spent, megabytes = json.loads(done.stdout)
    print(f"{name:37} {spent:8.1f} s {megabytes:12.0f} MB")
    return bool(spent < MOST_BATCH_SECONDS and megabytes < MOST_BATCH_MEGABYTES)


def one_batch(name: str) -> None:
    """Validate a batch of a hostile file in this process, and print its seconds of a processor and its megabytes."""
    import boto3  # noqa: F401, PLC0415 - which the function has loaded, too

    body = HOSTILE[name](10 * MEGABYTE)
    start = time.process_time()
    with ThreadPoolExecutor(BATCH) as pool:
        reports = list(pool.map(lambda _: inspect(bytes(bytearray(body))), range(BATCH)))
    assert not any(report.valid for report in reports)
    print(json.dumps([time.process_time() - start, peak_kilobytes() / 1024]))


def main() -> int:
    """Run everything; 1 if a bound does not hold."""
    if sys.argv[1:]:
        one_batch(sys.argv[1])
        return 0
    held = [honest(), longest_timeout()]
    print(
        "\nhostile files of 10 MB; growth is from 5 MB, where 2 is linear; memory is the peak, in times the file's size"
    )
    print(f"{'':37} {'time':>10} {'json.loads':>14} {'growth':>9} {'memory':>8} {'json.loads':>12}  first rule broken")
    costs = {name: hostile(name, make) for name, make in HOSTILE.items()}
    held += [cost.holds for cost in costs.values()]
    slowest = sorted(costs, key=lambda name: costs[name].seconds)[-WORST:]
    largest = sorted(costs, key=lambda name: costs[name].memory)[-WORST:]
    print(f"\n{BATCH} of the worst, side by side: seconds of a processor, and the process at its peak")
    held += [batch(name) for name in dict.fromkeys([*slowest, *largest])]
    print("\nevery bound holds" if all(held) else "\na bound does not hold")
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main())
