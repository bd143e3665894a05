"""Lambda's recursive loop detection across SQS and S3; MiniStack has it for direct calls alone. And time for queues.

Lambda counts how often a chain of requests has come to a function: each call that a function makes carries the number,
a message keeps it, and what S3 or SQS makes of it has one more. The seventeenth is refused unless the function has
`RecursiveLoop: Allow`, which CloudFormation sets here, too (Lambda Developer Guide, "Use Lambda recursive loop
detection to prevent infinite loops"). A batch counts as its longest chain; it stays invisible, and is received again.

To wait for no message, let time pass: a datum of N for `SecondsPassedInQueues` in the namespace `EmulatedTime` makes
every invisible or delayed message visible N seconds earlier.

Runs in MiniStack's own environment (.local/ministack), as `emulator` does.
"""

import contextvars
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from ministack.services import lambda_svc, s3, sqs
from ministack.services.cloudformation import provisioners

type _Handler = Callable[..., Awaitable[Any]]

_HOPS = "hops"  # of a message: how many functions its chain has come through
_caller: contextvars.ContextVar[int] = contextvars.ContextVar("hops_of_the_caller", default=0)
_send = sqs._HANDLERS["SendMessage"]
_run_batch = lambda_svc._run_sqs_batch
_invoke_async = lambda_svc.invoke_async_with_retry


def install() -> None:
    """Close the gaps; once, before MiniStack starts."""
    for service in (s3, sqs):
        service.handle_request = _knowing_its_caller(service.handle_request)
    sqs._HANDLERS["SendMessage"] = _send_with_hops
    lambda_svc._run_sqs_batch = _run_batch_of_chain
    lambda_svc.invoke_async_with_retry = _invoke_async_of_chain
    functions = provisioners._RESOURCE_HANDLERS["AWS::Lambda::Function"]
    functions["create"] = _creating(functions["create"])
    functions["update"] = _updating(functions["update"])


def let_messages_wait(seconds: float) -> None:
    """Let time pass for what waits in the queues."""
    for queue in list(sqs._queues.values()):
        for message in list(queue["messages"]):
            message["visible_at"] -= seconds
    sqs.esm_wake.set()


def _knowing_its_caller(handle: _Handler) -> _Handler:
    async def known(method: str, path: str, headers: Mapping[str, str], *more: Any, **named: Any) -> Any:  # noqa: ANN401
        _caller.set(lambda_svc._inbound_invoke_depth(headers))
        return await handle(method, path, headers, *more, **named)

    return known


def _send_with_hops(data: dict[str, Any], url: str) -> Any:  # noqa: ANN401 - MiniStack's answer
    answer = _send(data, url)
    messages = sqs._get_q(data.get("QueueUrl", url), "sqs:SendMessage")["messages"]
    sent = next(one for one in reversed(messages) if one["id"] == answer["MessageId"])
    sent[_HOPS] = _caller.get()
    return answer


def _run_batch_of_chain(
    mapping: dict[str, Any],
    function: dict[str, Any],
    event: dict[str, Any],
    batch: list[dict[str, Any]],
    *queue: Any,  # noqa: ANN401 - its URL and its name
) -> None:
    hops = 1 + max(one.get(_HOPS, 0) for one in batch)
    if _is_refused(mapping["FunctionName"], hops):
        mapping["LastProcessingResult"] = "PROBLEM: recursive loop"
        return
    lambda_svc._invoke_depth.set(hops)
    _run_batch(mapping, function, event, batch, *queue)


def _invoke_async_of_chain(function: dict[str, Any], event: dict[str, Any]) -> None:
    if lambda_svc._invoke_depth.get():  # a direct call, which MiniStack has counted
        _invoke_async(function, event)
        return
    hops, name = 1 + _caller.get(), (function.get("config") or function)["FunctionName"]
    if _is_refused(name, hops):
        destination = (function.get("event_invoke_config") or {}).get("DestinationConfig") or {}
        result = {"error": True, "body": {"errorType": "RecursiveInvocationException"}}
        if arn := destination.get("OnFailure", {}).get("Destination"):
            lambda_svc._route_async_failure(arn, name, event, result)
        return
    lambda_svc._invoke_depth.set(hops)
    _invoke_async(function, event)


def _is_refused(name: str, hops: int) -> bool:
    function = lambda_svc._functions.get(name.rpartition(":")[2]) or {}
    return lambda_svc._recursive_loop_drop(name, function, hops) is not None


def _creating(create: Callable[..., Any]) -> Callable[..., Any]:
    def created(logical_id: str, properties: dict[str, Any], stack: str) -> Any:  # noqa: ANN401 - MiniStack's answer
        answer = create(logical_id, properties, stack)
        _allow(answer[0], properties)
        return answer

    return created


def _updating(update: Callable[..., Any]) -> Callable[..., Any]:
    def updated(physical_id: str, old: dict[str, Any], new: dict[str, Any], *more: Any, **named: Any) -> Any:  # noqa: ANN401
        answer = update(physical_id, old, new, *more, **named)
        _allow(answer[0], new)
        return answer

    return updated


def _allow(name: str, properties: Mapping[str, Any]) -> None:
    lambda_svc._functions[name]["recursive_loop"] = properties.get("RecursiveLoop", "Terminate")
