"""What intents cost in dollars: counted calls times prices, for each path and size of memory, and in other ways.

Prices are of us-east-1, without free tiers and savings plans. What the sender pays to put the input, and storage, are
the same for every way, and left out. Measured are calls, units, bytes and CPU; assumed is how long AWS takes to answer.
"""

from collections.abc import Mapping
from dataclasses import dataclass

PRICES_OF = "2026-11"
SOURCES = {
    "S3": "https://aws.amazon.com/s3/pricing/",
    "DynamoDB": "https://aws.amazon.com/dynamodb/pricing/on-demand/",
    "SQS": "https://aws.amazon.com/sqs/pricing/",
    "Lambda": "https://aws.amazon.com/lambda/pricing/",
    "CloudWatch Logs": "https://aws.amazon.com/cloudwatch/pricing/",
    "Step Functions": "https://aws.amazon.com/step-functions/pricing/",
    "Fargate": "https://aws.amazon.com/fargate/pricing/",
}
MILLION = 1_000_000
FULL_PROCESSOR = 1769  # MB of a function that come with one
MEMORY_SIZES = (768, 1024, 1769, 3008)
DEFAULT_MEMORY = 1024  # MB: the template's MemorySize
MOST_DOLLARS = 42.0


@dataclass(frozen=True, slots=True)
class Prices:
    """Dollars for each one, in us-east-1."""

    s3_write: float = 5.00 / MILLION  # PUT, COPY, LIST; DELETE is free
    s3_read: float = 0.40 / MILLION
    write_unit: float = 0.625 / MILLION
    read_unit: float = 0.125 / MILLION
    sqs: float = 0.40 / MILLION
    invocation: float = 0.20 / MILLION
    gigabyte_second: float = 0.0000133334  # arm64
    log_byte: float = 0.50 / 1e9
    transition: float = 0.025 / 1_000  # Step Functions Standard
    express_request: float = 1.00 / MILLION
    express_gigabyte_second: float = 0.00001667
    fargate_processor_hour: float = 0.03238  # Linux on ARM
    fargate_gigabyte_hour: float = 0.00356


@dataclass(frozen=True, slots=True)
class Usage:
    """What one intent uses of everything."""

    s3_writes: int = 0
    s3_reads: int = 0
    write_units: int = 0
    read_units: int = 0
    sqs: int = 0
    invocations: int = 1
    log_bytes: int = 0
    waiting_seconds: float = 0.0  # for AWS's answers
    cpu_seconds: float = 0.0  # of a full processor: ours and porch's
    audits: int = 0  # invocations of AuditFunction: each reads the row of its shard, publishes, and writes the row
    audit_bytes: int = 0  # that those write
    audit_cpu_seconds: float = 0.0  # of a full processor, of all of them


S3_WRITES = {"PutObject", "CopyObject", "ListObjectsV2", "ListObjectVersions"}
S3_READS = {"GetObject", "HeadObject"}
DYNAMODB_READS = {"GetItem", "BatchGetItem"}
# Seconds that AWS takes to answer in the same region, assumed: typical medians, not measured here.
ANSWER_SECONDS: Mapping[str, float] = {"s3": 0.025, "dynamodb": 0.008, "sqs": 0.010, "logs": 0.020}
POLLER_REQUESTS = 2  # of SQS for each message: ReceiveMessage and DeleteMessage; a batch shares them
AUDIT_READ_UNITS, AUDIT_WRITE_UNITS = 1, 2  # of the row of a shard, which is less than 2 KB
AUDIT_CALLS = ("dynamodb", "logs", "dynamodb")
AUDIT_MEMORY = 512  # MB: the template's, of AuditFunction; reading the stream is free for Lambda
PLATFORM_LOG_BYTES = 900  # that Lambda itself writes for each invocation: start and report, as JSON


def seconds(usage: Usage, memory: int) -> float:
    """Say how long all invocations for an intent take together: below a full processor, CPU takes longer."""
    return usage.waiting_seconds + usage.cpu_seconds * max(1.0, FULL_PROCESSOR / memory)


def parts(usage: Usage, memory: int, prices: Prices) -> dict[str, float]:
    """Give dollars per million intents, by service."""
    per_intent = {
        "S3": usage.s3_writes * prices.s3_write + usage.s3_reads * prices.s3_read,
        "DynamoDB": usage.write_units * prices.write_unit + usage.read_units * prices.read_unit,
        "SQS": usage.sqs * prices.sqs,
        "Lambda": usage.invocations * prices.invocation
        + seconds(usage, memory) * memory / 1024 * prices.gigabyte_second,
        "logs": usage.log_bytes * prices.log_byte,
        "audit": _audit(usage, prices),
    }
    return {service: dollars * MILLION for service, dollars in per_intent.items()}


def _audit(usage: Usage, prices: Prices) -> float:
    waiting = usage.audits * sum(ANSWER_SECONDS[service] for service in AUDIT_CALLS)
    lasting = waiting + usage.audit_cpu_seconds * FULL_PROCESSOR / AUDIT_MEMORY
    function = usage.audits * prices.invocation + lasting * AUDIT_MEMORY / 1024 * prices.gigabyte_second
    rows = usage.audits * (AUDIT_READ_UNITS * prices.read_unit + AUDIT_WRITE_UNITS * prices.write_unit)
    return function + rows + usage.audit_bytes * prices.log_byte


def dollars_per_million(usage: Usage, memory: int = DEFAULT_MEMORY, prices: Prices | None = None) -> float:
    """Give dollars per million intents."""
    return sum(parts(usage, memory, prices or Prices()).values())


def step_functions_standard(usage: Usage, transitions: int, memory: int, prices: Prices) -> float:
    """Give dollars per million where a state machine calls the steps: its transitions instead of a queue's requests."""
    ours = parts(usage, memory, prices)
    return sum(ours.values()) - ours["SQS"] + transitions * prices.transition * MILLION


def step_functions_express(usage: Usage, memory: int, prices: Prices) -> float:
    """Likewise with an express workflow, which is billed for its time, in chunks of 64 MB and tenths of a second."""
    ours = parts(usage, memory, prices)
    lasting = -(-seconds(usage, memory) // 0.1) * 0.1
    workflow = prices.express_request + lasting * 64 / 1024 * prices.express_gigabyte_second
    return sum(ours.values()) - ours["SQS"] + workflow * MILLION


@dataclass(frozen=True, slots=True)
class Fargate:
    """A task that runs always: half a processor and a gigabyte, twice, for two availability zones."""

    processors: float = 0.5
    gigabytes: float = 1.0
    tasks: int = 2

    def dollars_per_month(self, prices: Prices) -> float:
        """Give what the tasks cost, however many intents come."""
        hourly = self.processors * prices.fargate_processor_hour + self.gigabytes * prices.fargate_gigabyte_hour
        return hourly * self.tasks * 730

    def dollars_per_million(self, usage: Usage, intents_per_month: float, prices: Prices) -> float:
        """Give dollars per million intents at so many a month; the calls stay, Lambda goes."""
        ours = parts(usage, DEFAULT_MEMORY, prices)
        return sum(ours.values()) - ours["Lambda"] + self.dollars_per_month(prices) / intents_per_month * MILLION

    def break_even(self, usage: Usage, prices: Prices) -> float:
        """Say from how many intents a month on the tasks are cheaper than Lambda, if they can keep up."""
        return self.dollars_per_month(prices) / (parts(usage, DEFAULT_MEMORY, prices)["Lambda"] / MILLION)
