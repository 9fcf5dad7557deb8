"""What a model's process counts, among the metrics of its server.

Each change of a metric is a message to Triton for which the process waits. So a batch is only added
up here, and a thread sends what has gathered a few times a second (docs/performance.md has what
either costs). The thread sleeps while nothing is counted, and an idle process has sent all of it.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import triton_python_backend_utils as pb_utils

if TYPE_CHECKING:
    from collections.abc import Mapping

# The longest that a count waits before it is sent; Prometheus asks once in so many seconds.
GATHER_S = 0.25
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where POSIX shared memory lives


class Family(NamedTuple):
    """Name, meaning and own labels of a metric."""

    name: str
    description: str
    labels: tuple[str, ...] = ()


class Series(NamedTuple):
    """One metric with the values of its family's labels."""

    family: Family
    values: tuple[str, ...] = ()


STARTED = Family("framewire_process_start_time_seconds", "When a process of a model was ready")
SHARED_SIZE = Family("framewire_shared_memory_bytes", "Size of /dev/shm as a process sees it")
SHARED_FREE = Family("framewire_shared_memory_free_bytes", "What is free of /dev/shm")
GAUGES = frozenset({STARTED, SHARED_SIZE, SHARED_FREE})


class ProcessMetrics:
    """The metrics of this process; a server that takes none is served without.

    Every series bears the process id. Triton keeps one counter for a set of labels, and takes it
    away when the first of the processes that share it ends, under the feet of the others; sums over
    processes are Prometheus' business.

    Args:
        args: of the model's ``initialize``.
        counters: families whose only series is to be there from the start.
    """

    def __init__(self, args: Mapping[str, str], counters: tuple[Family, ...] = ()) -> None:
        self._labels = {
            "pipeline": args["model_name"].rpartition("_")[0],
            "model": args["model_name"],
            "version": args["model_version"],
            "process": str(os.getpid()),
        }
        self._triton = os.getppid()
        self._families: dict[Family, Any] = {}
        self._metrics: dict[Series, Any] = {}
        self._waiting: Counter[Series] = Counter()
        self._lock = threading.Lock()
        self._news = threading.Event()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None
        self._works = True
        self._told = False
        try:
            for family in counters:
                self._metric(Series(family))
            self._set(STARTED, time.time())
            self._set(SHARED_SIZE, shutil.disk_usage(SHARED_MEMORY).total)
            self._tell_shared_memory()
        except Exception as error:  # noqa: BLE001 - a pipeline without metrics is better than none
            self._works = False
            pb_utils.Logger.log_warn(f"{args['model_name']} counts nothing: {error}")

    def add(self, amounts: Mapping[Series, float]) -> None:
        """Add what a batch amounts to; called once for each."""
        if not self._works:
            return
        with self._lock:
            for series, amount in amounts.items():
                self._waiting[series] += amount  # type: ignore[assignment]
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)
            self._thread.start()
        if not self._news.is_set():
            self._news.set()

    def close(self) -> None:
        """Send what is left and take the metrics of this process away."""
        if os.getppid() != self._triton:
            # Triton was killed. Whoever sent it a message, as metrics do when they are taken away,
            # would wait for its answer for ever.
            os._exit(1)
        self._closed.set()
        self._news.set()
        if self._thread is not None:
            self._thread.join()
            self._send()
        # Here and not when Python ends: then nobody would answer.
        self._metrics.clear()
        self._families.clear()

    def _run(self) -> None:
        while not self._closed.is_set():
            self._news.wait()
            self._closed.wait(GATHER_S)
            self._news.clear()
            if os.getppid() == self._triton:
                self._send()

    def _send(self) -> None:
        with self._lock:
            amounts, self._waiting = self._waiting, Counter()
        try:
            for series in list(amounts):
                self._metric(series).increment(amounts[series])
                del amounts[series]
            self._tell_shared_memory()
        except Exception as error:  # noqa: BLE001 - shared memory ran out, say; it may come back
            with self._lock:
                self._waiting.update(amounts)
            if not self._told:
                self._told = True
                pb_utils.Logger.log_warn(f"{self._labels['model']} cannot send counts: {error}")

    def _tell_shared_memory(self) -> None:
        self._set(SHARED_FREE, shutil.disk_usage(SHARED_MEMORY).free)

    def _set(self, family: Family, value: float) -> None:
        self._metric(Series(family)).set(value)

    def _metric(self, series: Series) -> Any:
        metric = self._metrics.get(series)
        if metric is None:
            own = dict(zip(series.family.labels, series.values, strict=True))
            metric = self._family(series.family).Metric(labels=self._labels | own)
            self._metrics[series] = metric
        return metric

    def _family(self, family: Family) -> Any:
        made = self._families.get(family)
        if made is None:
            kinds = pb_utils.MetricFamily
            made = pb_utils.MetricFamily(
                name=family.name,
                description=family.description,
                kind=kinds.GAUGE if family in GAUGES else kinds.COUNTER,
            )
            self._families[family] = made
        return made
