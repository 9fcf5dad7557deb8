"""What a process counts, sent to a stand-in of Triton's side; e2e has the real one."""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from types import ModuleType

import pytest
from contract import NUM_DETS, ImageStatus

ARGS = {"model_name": "my_yard_bls", "model_version": "3"}


class Triton(ModuleType):
    """``triton_python_backend_utils``, as far as metrics and the log go."""

    def __init__(self) -> None:
        super().__init__("triton_python_backend_utils")
        self.values: Counter[tuple[str, tuple[tuple[str, str], ...]]] = Counter()
        self.messages = 0
        self.warnings: list[str] = []
        self.broken: str | None = None
        self.answers = threading.Event()
        self.answers.set()
        triton = self

        class Metric:
            def __init__(self, name: str, labels: dict[str, str]) -> None:
                self.series = (name, tuple(sorted(labels.items())))
                triton.values[self.series] = 0

            def increment(self, value: float) -> None:
                triton.message()
                triton.values[self.series] += value

            def set(self, value: float) -> None:
                triton.message()
                triton.values[self.series] = value

        class MetricFamily:
            COUNTER, GAUGE = "counter", "gauge"

            def __init__(self, name: str, description: str, kind: str) -> None:  # noqa: ARG002
                triton.message()
                self.name = name

            def Metric(self, labels: dict[str, str]) -> Metric:  # noqa: N802 - Triton's name
                return Metric(self.name, labels)

        class Logger:
            log_warn = staticmethod(self.warnings.append)

        self.MetricFamily, self.Logger = MetricFamily, Logger

    def message(self) -> None:
        if self.broken:
            raise RuntimeError(self.broken)
        self.messages += 1
        assert self.answers.wait(30)

    def value(self, name: str, **labels: str) -> float:
        return sum(
            value
            for (family, own), value in self.values.items()
            if family == name and labels.items() <= dict(own).items()
        )


@pytest.fixture
def triton(monkeypatch: pytest.MonkeyPatch) -> Iterator[Triton]:
    triton = Triton()
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", triton)
    for module in ("metrics", "image_counts", "detection_counts"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    yield triton
    for module in ("metrics", "image_counts", "detection_counts"):
        sys.modules.pop(module, None)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_what_is_added_arrives_by_itself_in_a_few_messages(triton: Triton) -> None:
    from metrics import Family, ProcessMetrics, Series  # noqa: PLC0415

    apples = Family("apples_total", "Apples", ("colour",))
    metrics = ProcessMetrics(ARGS)
    before = triton.messages
    for _ in range(1000):
        time.sleep(0.0001)
        metrics.add({Series(apples, ("red",)): 2, Series(apples, ("green",)): 1})
    wait_until(lambda: triton.value("apples_total") == 3000)
    assert triton.value("apples_total", colour="red") == 2000
    assert triton.messages - before < 200
    metrics.close()


def test_every_series_says_whose_it_is(triton: Triton) -> None:
    import os  # noqa: PLC0415

    from metrics import Family, ProcessMetrics  # noqa: PLC0415

    metrics = ProcessMetrics(ARGS, (Family("apples_total", "Apples"),))
    whose = {
        "pipeline": "my_yard",
        "model": "my_yard_bls",
        "version": "3",
        "process": str(os.getpid()),
    }
    # The counters are there before anything is counted.
    assert ("apples_total", tuple(sorted(whose.items()))) in triton.values
    assert triton.value("framewire_process_start_time_seconds", **whose) > 1e9
    assert triton.value("framewire_shared_memory_bytes", **whose) > 0
    metrics.close()


def test_the_last_counts_are_sent_before_a_process_ends(triton: Triton) -> None:
    from metrics import Family, ProcessMetrics, Series  # noqa: PLC0415

    apples = Family("apples_total", "Apples")
    for count in range(50):
        metrics = ProcessMetrics(ARGS, (apples,))
        if count % 2:
            metrics.add({Series(apples): 1})
        metrics.close()
        assert triton.value("apples_total") == count % 2
    assert not [each for each in threading.enumerate() if each.name == "metrics"]


def test_what_is_counted_while_others_are_sent_is_not_lost(triton: Triton) -> None:
    from metrics import Family, ProcessMetrics, Series  # noqa: PLC0415

    apples = Family("apples_total", "Apples")
    metrics = ProcessMetrics(ARGS, (apples,))
    before = triton.messages
    triton.answers.clear()
    metrics.add({Series(apples): 3})
    wait_until(lambda: triton.messages > before)
    metrics.add({Series(apples): 4})
    threading.Timer(0.3, triton.answers.set).start()
    metrics.close()
    assert triton.value("apples_total") == 7


def test_what_could_not_be_sent_is_sent_later(triton: Triton) -> None:
    from metrics import Family, ProcessMetrics, Series  # noqa: PLC0415

    apples = Family("apples_total", "Apples")
    metrics = ProcessMetrics(ARGS, (apples,))
    triton.broken = "no shared memory"
    metrics.add({Series(apples): 3})
    wait_until(lambda: bool(triton.warnings))
    metrics.add({Series(apples): 4})
    assert triton.warnings == ["my_yard_bls cannot send counts: no shared memory"]
    triton.broken = None
    metrics.close()
    assert triton.value("apples_total") == 7


def test_a_triton_that_takes_no_metrics_is_served_without(triton: Triton) -> None:
    from metrics import Family, ProcessMetrics, Series  # noqa: PLC0415

    triton.broken = "metrics are not enabled"
    metrics = ProcessMetrics(ARGS, (Family("apples_total", "Apples"),))
    triton.broken = None
    metrics.add({Series(Family("apples_total", "Apples")): 1})
    metrics.close()
    assert triton.warnings == ["my_yard_bls counts nothing: metrics are not enabled"]
    assert not triton.values


def test_a_triton_that_knows_no_metrics_is_served_without(triton: Triton) -> None:
    from metrics import Family, ProcessMetrics, Series  # noqa: PLC0415

    del triton.MetricFamily
    metrics = ProcessMetrics(ARGS)
    metrics.add({Series(Family("apples_total", "Apples")): 1})
    metrics.close()
    assert len(triton.warnings) == 1


def test_images_are_counted_by_format_and_by_what_became_of_them(triton: Triton) -> None:
    from frames import LoadedFrame  # noqa: PLC0415
    from image_counts import (  # noqa: PLC0415
        DECODE_SECONDS,
        IMAGE_BYTES,
        IMAGES,
        SOURCE_PIXELS,
        image_counts,
    )
    from metrics import Series  # noqa: PLC0415

    def frame(status: ImageStatus, size: tuple[int, int], kind: str) -> LoadedFrame:
        return LoadedFrame(status, "", None, size, kind, 1000, 0.25)

    counts = image_counts(
        [
            frame(ImageStatus.OK, (640, 480), "jpeg"),
            frame(ImageStatus.OK, (10, 10), "jpeg"),
            frame(ImageStatus.CORRUPT, (0, 0), "jpeg"),
            frame(ImageStatus.UNSUPPORTED_FORMAT, (0, 0), "unknown"),
            ValueError("a fault of ours"),
        ]
    )
    assert counts == {
        Series(IMAGES, ("jpeg", "ok")): 2,
        Series(IMAGES, ("jpeg", "corrupt")): 1,
        Series(IMAGES, ("unknown", "unsupported_format")): 1,
        Series(IMAGES, ("unknown", "failed")): 1,
        Series(IMAGE_BYTES): 4000,
        Series(SOURCE_PIXELS): 640 * 480 + 100,
        Series(DECODE_SECONDS): 1.0,
    }


def test_candidates_above_the_threshold_and_boxes_are_counted(triton: Triton) -> None:
    import numpy as np  # noqa: PLC0415

    from detection_counts import CANDIDATES_SEEN, DETECTIONS, DetectionTally  # noqa: PLC0415
    from metrics import Series  # noqa: PLC0415
    from nms import Thresholds  # noqa: PLC0415

    candidates = np.zeros((2, 4, 6), np.float32)
    candidates[:, :, 4] = [0.9, 0.5, 0.4, np.nan]
    geometry = np.array([[64.0] * 6, [0.0] * 6], np.float32)  # the second could not be read
    tally = DetectionTally()
    for _ in range(2):
        found = {NUM_DETS: np.array([[1], [0]], np.int32)}
        tally.count(candidates, geometry, Thresholds(0.4, 0.7, 300), found)
    assert tally.amounts() == {Series(CANDIDATES_SEEN): 4, Series(DETECTIONS): 2}
