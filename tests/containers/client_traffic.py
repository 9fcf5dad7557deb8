"""Clients that keep detecting while servers come and go, and expect every call to be answered."""

from __future__ import annotations

import threading
from collections import Counter
from types import TracebackType

from tests import images
from tests.containers.asking import wait_until
from tests.tiny_detector import LABELS, coloured_square
from thin_client import Detector

THREADS = 6
PICTURES = {colour: images.encoded(coloured_square(colour), ".png") for colour in LABELS}


class ClientTraffic:
    """Threads that share one Detector and send red, green and blue squares in turn.

    Attributes:
        answered: calls that were answered with the right label, by the boxes they gave.
        failures: calls that failed or were answered wrongly, in words.
    """

    def __init__(self, detector: Detector) -> None:
        self.answered: Counter[tuple[tuple[float, ...], ...]] = Counter()
        self.failures: list[str] = []
        self._detector = detector
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._send, args=(n,)) for n in range(THREADS)]

    def __enter__(self) -> ClientTraffic:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def wait_for_more(self, calls: int = 100) -> None:
        """Wait until so many more calls were answered."""
        enough = self.answered.total() + calls
        wait_until(lambda: self.answered.total() >= enough or bool(self.failures))

    def _send(self, offset: int) -> None:
        calls = offset
        while not self._stop.is_set():
            colour = LABELS[calls % len(LABELS)]
            calls += 1
            try:
                found = self._detector.detect(PICTURES[colour])
            except Exception as error:  # noqa: BLE001 - whatever it is, a call was lost
                with self._lock:
                    self.failures.append(f"{type(error).__name__}: {error}")
                continue
            boxes = tuple(sorted(each.box_xyxy for each in found))
            with self._lock:
                if {each.label for each in found} == {colour}:
                    self.answered[boxes] += 1
                else:
                    self.failures.append(f"{colour} was answered with {found}")
