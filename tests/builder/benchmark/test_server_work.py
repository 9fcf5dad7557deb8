from __future__ import annotations

from tritonclient.grpc import service_pb2

from builder.benchmark.server_work import work_between

MS = 1_000_000


def statistics(
    images: int, executions: int, times_ms: dict[str, int], batches: dict[int, int]
) -> service_pb2.ModelStatistics:
    message = service_pb2.ModelStatistics(
        name="m", version="1", inference_count=images, execution_count=executions
    )
    for name, total_ms in times_ms.items():
        duration = getattr(message.inference_stats, name)
        duration.count, duration.ns = images, total_ms * MS
    for size, count in batches.items():
        message.batch_stats.add(batch_size=size).compute_infer.count = count
    return message


def test_work_is_what_came_between_two_looks() -> None:
    before = statistics(10, 10, {"success": 100, "queue": 50}, {1: 10})
    after = statistics(30, 14, {"success": 160, "queue": 60}, {1: 10, 2: 1, 6: 3})
    (work,) = work_between({("m", "1"): before}, {("m", "1"): after})
    assert (work.model, work.images, work.requests, work.executions) == ("m", 20, 20, 4)
    assert (work.total_ms, work.queue_ms, work.compute_infer_ms) == (3.0, 0.5, 0.0)
    assert work.batches == ((2, 1), (6, 3))
    assert work.mean_batch == 5.0


def test_a_model_that_was_loaded_in_between_began_with_nothing() -> None:
    after = statistics(4, 2, {"success": 8}, {2: 2})
    (work,) = work_between({}, {("m", "1"): after})
    assert (work.images, work.total_ms, work.batches) == (4, 2.0, ((2, 2),))


def test_a_model_without_work_has_no_times() -> None:
    same = statistics(4, 2, {"success": 8}, {2: 2})
    (work,) = work_between({("m", "1"): same}, {("m", "1"): same})
    assert (work.images, work.total_ms, work.mean_batch, work.batches) == (0, 0.0, 0.0, ())


def test_time_that_was_held_back_is_no_work() -> None:
    after = statistics(20, 10, {"success": 100, "compute_infer": 80}, {2: 10})
    (work,) = work_between({}, {("m", "1"): after}, {"m": 0.06, "other": 9.0})
    assert (work.held_ms, work.compute_infer_ms, work.total_ms) == (3.0, 1.0, 5.0)
    # Counts come a quarter of a second late, so of a short time there may be more than all of it.
    (work,) = work_between({}, {("m", "1"): after}, {"m": 5.0})
    assert (work.held_ms, work.compute_infer_ms) == (4.0, 0.0)
