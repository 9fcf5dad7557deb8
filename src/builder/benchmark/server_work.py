"""What every model of a server did between two looks, from Triton's own statistics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from builder.errors import BenchmarkError

ANSWER_S = 10
NS_IN_MS = 1e6

# Of one model: name and version.
Key = tuple[str, str]
Statistics = Mapping[Key, service_pb2.ModelStatistics]


@dataclass(frozen=True)
class ModelWork:
    """What one model did; times are means of a request, in milliseconds.

    Attributes:
        model: Triton's name of it.
        images: answered.
        executions: batches they were answered in.
        requests: answered.
        failures: requests that failed.
        total_ms: of a request, from its arrival at the model to its answer.
        queue_ms: waiting.
        compute_input_ms: moving inputs.
        compute_infer_ms: in the model, at work.
        compute_output_ms: moving outputs.
        batches: how many executions had how many images, by size.
        held_ms: in the model, held back until the network had room; 0 where it is not known, and
            part of ``compute_infer_ms`` then.
    """

    model: str
    images: int
    executions: int
    requests: int
    failures: int
    total_ms: float
    queue_ms: float
    compute_input_ms: float
    compute_infer_ms: float
    compute_output_ms: float
    batches: tuple[tuple[int, int], ...]
    held_ms: float = 0.0

    @property
    def mean_batch(self) -> float:
        """Images in an execution, on average; 0 where there was none."""
        return self.images / self.executions if self.executions else 0.0


def server_statistics(url: str) -> Statistics:
    """Return Triton's statistics of all models, to be compared with a later look.

    Raises:
        BenchmarkError: the server does not answer.
    """
    with grpc.insecure_channel(url) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        try:
            answer = stub.ModelStatistics(service_pb2.ModelStatisticsRequest(), timeout=ANSWER_S)
        except grpc.RpcError as error:
            raise BenchmarkError(
                f"the server at {url} does not tell its statistics ({error.code().name}): check "
                "that it runs"
            ) from error
    return {(each.name, each.version): each for each in answer.model_stats}


def work_between(
    before: Statistics, after: Statistics, held_s: Mapping[str, float] | None = None
) -> tuple[ModelWork, ...]:
    """Return what each model did between two looks, sorted by name; models without work too.

    Args:
        before: the first look.
        after: the second.
        held_s: seconds that requests were held back meanwhile, by model.
    """
    nothing = service_pb2.ModelStatistics()
    return tuple(
        _difference(before.get(key, nothing), after[key], (held_s or {}).get(key[0], 0.0))
        for key in sorted(after)
    )


def _difference(
    before: service_pb2.ModelStatistics, after: service_pb2.ModelStatistics, held_s: float
) -> ModelWork:
    old, new = before.inference_stats, after.inference_stats
    batches = {each.batch_size: each.compute_infer.count for each in after.batch_stats}
    for each in before.batch_stats:
        batches[each.batch_size] -= each.compute_infer.count
    infer_ms = _mean_ms(old.compute_infer, new.compute_infer)
    requests = new.success.count - old.success.count
    held_ms = min(infer_ms, held_s * 1e3 / requests) if requests else 0.0
    return ModelWork(
        model=after.name,
        images=after.inference_count - before.inference_count,
        executions=after.execution_count - before.execution_count,
        requests=requests,
        failures=new.fail.count - old.fail.count,
        total_ms=_mean_ms(old.success, new.success),
        queue_ms=_mean_ms(old.queue, new.queue),
        compute_input_ms=_mean_ms(old.compute_input, new.compute_input),
        compute_infer_ms=infer_ms - held_ms,
        compute_output_ms=_mean_ms(old.compute_output, new.compute_output),
        batches=tuple(sorted((size, count) for size, count in batches.items() if count)),
        held_ms=held_ms,
    )


def _mean_ms(before: service_pb2.StatisticDuration, after: service_pb2.StatisticDuration) -> float:
    count = after.count - before.count
    return float(after.ns - before.ns) / count / NS_IN_MS if count else 0.0
