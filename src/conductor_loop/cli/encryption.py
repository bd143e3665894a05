"""Whether what a stack stores is encrypted, and with whose key: as AWS describes it, not as the template meant it."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from botocore.exceptions import ClientError

from conductor_loop.cli import aws

STATE = ("bucket", "table", "queue", "secret", "parameter")  # kinds of stores, all but log lines
_GOOD_KEY_STATES = {"Enabled", "Creating", "Updating"}


@dataclass(frozen=True, slots=True)
class Store:
    """One place where a stack stores something."""

    kind: str  # one of STATE, or "log group"
    name: str
    key: str  # ARN or alias in KMS; empty for one that AWS owns
    encrypted: bool = True


@dataclass(frozen=True, slots=True)
class Stores:
    """Everything that a stack stores, and the key that it was deployed with (empty: AWS's)."""

    found: tuple[Store, ...]
    key: str

    def verdict(self, kinds: Sequence[str]) -> str:
        """Say how these kinds of stores are encrypted.

        Raises:
            OSError: one of them is not, or not with the key of the stack; the message names each, and the next step.

        """
        wanted = [store for kind in kinds for store in self.found if store.kind == kind]
        bare = [f"{one.kind} {one.name}" for one in wanted if not one.encrypted]
        other = [f"{one.kind} {one.name}" for one in wanted if one.encrypted and self.key and one.key != self.key]
        if bare or other:
            said = [f"not encrypted: {', '.join(bare)}"] if bare else []
            said += [f"not with {self.key}: {', '.join(other)}"] if other else []
            pushed = all(store.startswith("parameter ") for store in bare + other)
            step = "push the configuration again" if pushed else "deploy the stack again"
            raise OSError("; ".join((*said, step)))
        numbers = Counter(store.kind for store in wanted).items()
        count = ", ".join(f"{number} {kind}{'s' if number > 1 else ''}" for kind, number in numbers)
        return f"{count}: encrypted with {self.key or 'keys of AWS'}"


def stores(stack: str) -> Stores:
    """Look at everything that a stack stores; raises OSError as :func:`look` does."""
    client = aws.client("cloudformation")
    described = client.describe_stacks(StackName=stack)["Stacks"][0]
    given = {one["ParameterKey"]: one.get("ParameterValue", "") for one in described.get("Parameters", [])}
    beside = [one["OutputValue"] for one in described.get("Outputs", []) if one["OutputKey"] == "ConfigParameter"]
    pages = client.get_paginator("list_stack_resources").paginate(StackName=stack)
    resources = [resource for page in pages for resource in page["StackResourceSummaries"]]
    found = [(one["ResourceType"], one.get("PhysicalResourceId", "")) for one in resources]
    return look(found + [("AWS::SSM::Parameter", name) for name in beside], given.get("KmsKeyArn", ""))


def look(resources: Iterable[tuple[str, str]], key: str) -> Stores:
    """Look at those of some resources that store something.

    Args:
        resources: CloudFormation's types and physical ids.
        key: ARN of the key that they are meant to be encrypted with; empty for those of AWS.

    Raises:
        OSError: the key cannot be used.

    """
    if key:
        try:
            state = aws.client("kms").describe_key(KeyId=key)["KeyMetadata"]["KeyState"]
        except ClientError as error:
            raise OSError(f"{key} cannot be looked at: {error}") from None
        if state not in _GOOD_KEY_STATES:
            raise OSError(f"{key} is {state}: nothing can be read until it is enabled again")
    seen = (_LOOKS[kind](name) for kind, name in resources if kind in _LOOKS and name)
    return Stores(tuple(store for store in seen if store), key)


def _bucket(name: str) -> Store:
    rules = aws.client("s3").get_bucket_encryption(Bucket=name)["ServerSideEncryptionConfiguration"]["Rules"]
    return Store("bucket", name, rules[0]["ApplyServerSideEncryptionByDefault"].get("KMSMasterKeyID", ""))


def _table(name: str) -> Store:
    table = aws.client("dynamodb").describe_table(TableName=name)["Table"]
    described = table.get("SSEDescription", {})  # none: with DynamoDB's own, as every table without a say
    return Store("table", name, described.get("KMSMasterKeyArn", "") if described.get("Status") != "DISABLED" else "")


def _queue(url: str) -> Store:
    found = aws.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["All"]).get("Attributes", {})
    key, managed = found.get("KmsMasterKeyId", ""), found.get("SqsManagedSseEnabled") == "true"
    return Store("queue", url.rpartition("/")[2], key, encrypted=managed or bool(key))


def _log_group(name: str) -> Store:
    groups = aws.client("logs").describe_log_groups(logGroupNamePrefix=name)["logGroups"]
    mine = next((one for one in groups if one["logGroupName"] == name), None)
    if mine is None:
        raise OSError(f"the log group {name} is not there; deploy the stack again")
    return Store("log group", name, mine.get("kmsKeyId", ""))


def _secret(name: str) -> Store:
    return Store("secret", name, aws.client("secretsmanager").describe_secret(SecretId=name).get("KmsKeyId", ""))


def _parameter(name: str) -> Store | None:
    """Look at the parameter of the configuration, which is missing until one is pushed."""
    client = aws.client("ssm")
    found = client.describe_parameters(ParameterFilters=[{"Key": "Name", "Values": [name]}])["Parameters"]
    return Store("parameter", name, found[0].get("KeyId", "")) if found else None


_LOOKS: Mapping[str, Callable[[str], Store | None]] = {
    "AWS::S3::Bucket": _bucket,
    "AWS::DynamoDB::Table": _table,
    "AWS::SQS::Queue": _queue,
    "AWS::Logs::LogGroup": _log_group,
    "AWS::SecretsManager::Secret": _secret,
    "AWS::SSM::Parameter": _parameter,
}
