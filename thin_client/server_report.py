"""What a server says about itself, a pipeline and its work so far."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from thin_client.pipeline import Pipeline

__all__ = ["ModelStatistics", "ServerReport", "statistics_from_response"]


@dataclass(frozen=True)
class ModelStatistics:
    """Work of one model since the server loaded it.

    Attributes:
        model: Triton's name of the model.
        images: images answered; Triton's inference_count.
        executions: batches they were answered in.
        failures: requests that failed.
        latency_ms: mean time of an answered request, queueing included; None before the first.
        queue_ms: mean part of it spent waiting; None before the first.
    """

    model: str
    images: int
    executions: int
    failures: int
    latency_ms: float | None
    queue_ms: float | None


@dataclass(frozen=True)
class ServerReport:
    """A server, the pipeline called on it, and the statistics of the pipeline's models."""

    server: str
    server_version: str
    pipeline: Pipeline
    statistics: tuple[ModelStatistics, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON types."""
        return asdict(self)


def statistics_from_response(
    response: Any, models: tuple[str, ...], version: str = ""
) -> tuple[ModelStatistics, ...]:
    """Return the statistics of ``models``, in their order, from a ``ModelStatisticsResponse``.

    Args:
        response: has an entry for each version of a model that is loaded.
        models: Triton's names of them.
        version: whose work is meant; the newest where a model has no entry of it.
    """
    found: dict[str, Any] = {}
    for entry in sorted(response.model_stats, key=lambda each: _number(each.version)):
        before = found.get(entry.name)
        if before is None or before.version != version:
            found[entry.name] = entry
    return tuple(_statistics(found[name]) for name in models if name in found)


def _number(version: str) -> int:
    return int(version) if version.isdecimal() else 0


def _statistics(message: Any) -> ModelStatistics:
    inference = message.inference_stats
    return ModelStatistics(
        model=message.name,
        images=message.inference_count,
        executions=message.execution_count,
        failures=inference.fail.count,
        latency_ms=_mean_ms(inference.success),
        queue_ms=_mean_ms(inference.queue),
    )


def _mean_ms(duration: Any) -> float | None:
    return round(duration.ns / duration.count / 1e6, 3) if duration.count else None
