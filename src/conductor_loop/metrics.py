"""Metrics of decisions, as CloudWatch embedded metric format (EMF): one log line each, no call."""

from collections.abc import Mapping

from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

from conductor_loop.app import Measured

NAMESPACE = "ConductorLoop"


def emit(measured: Measured, service: str) -> None:
    """Print one EMF line for a decision. Few dimensions: every distinct value is a metric that is billed."""
    metrics = EphemeralMetrics(namespace=NAMESPACE, service=service)
    metrics.add_dimension("status", str(measured.outcome.status["status"]))
    metrics.add_metric("FilesProcessed" if measured.final else "AttemptsRetried", MetricUnit.Count, 1)
    metrics.add_metric("ProcessingDuration", MetricUnit.Seconds, measured.seconds)
    if measured.porch_seconds is not None:
        metrics.add_metric("PorchExecutionDuration", MetricUnit.Seconds, measured.porch_seconds)
    metrics.flush_metrics()


def emit_sweep(counts: Mapping[str, int], service: str) -> None:
    """Print one EMF line for a sweep: how many handoffs have no settled answer, and what came of looking after them."""
    metrics = EphemeralMetrics(namespace=NAMESPACE, service=service)
    metrics.add_metric("UnsettledHandoffs", MetricUnit.Count, counts["seen"])
    metrics.add_metric("RedeliveredHandoffs", MetricUnit.Count, counts["redelivered"])
    metrics.add_metric("SweepFailures", MetricUnit.Count, counts["failed"])
    metrics.flush_metrics()


def emit_audit_failures(entries: int, service: str) -> None:
    """Print one EMF line for audit entries that could not be written, and are tried again; an alarm watches it."""
    metrics = EphemeralMetrics(namespace=NAMESPACE, service=service)
    metrics.add_metric("AuditFailures", MetricUnit.Count, entries)
    metrics.flush_metrics()


def emit_refused_config(service: str) -> None:
    """Print one EMF line for a version of the configuration that cannot be used; an alarm watches it."""
    metrics = EphemeralMetrics(namespace=NAMESPACE, service=service)
    metrics.add_metric("ConfigurationsRefused", MetricUnit.Count, 1)
    metrics.flush_metrics()
