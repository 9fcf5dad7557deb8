"""Clients that keep asking while something happens to their server, and count what comes back."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Sequence
from types import TracebackType

from tests import images
from tests.drill.outcome import Outcome
from tests.drill.servers import seconds_until
from tests.tiny_detector import LABELS, coloured_square
from thin_client import Connection, Detections, Detector, FramewireError, RetryPolicy

Answer = tuple[bytes, bytes, bytes, int, int]
SQUARES = tuple(images.encoded(coloured_square(colour), ".png") for colour in LABELS)
AT_ONCE = RetryPolicy(attempts=1)
PATIENCE_S = 60
# So many lost calls tell enough.
GIVEN_UP_CALLS = 20
KEPT_SENTENCES = 5


def to_the_bit(found: Detections) -> Answer:
    """Everything that an answer says."""
    boxes, scores, classes = found.boxes_xyxy, found.scores, found.classes
    return boxes.tobytes(), scores.tobytes(), classes.tobytes(), found.width, found.height


class Tally:
    """What became of calls, counted from several threads.

    Attributes:
        sentences: of those that were not answered, and how often each was said.
        latencies_s: of those that were answered.
        refusals_s: how long those took that were refused.
    """

    def __init__(self) -> None:
        self.sent = self.answered = self.refused = self.lost = 0
        self.sentences: Counter[str] = Counter()
        self.latencies_s: list[float] = []
        self.refusals_s: list[float] = []
        self._lock = threading.Lock()

    def add_answer(self, right: bool, seconds: float = 0.0) -> None:
        """Count an answer."""
        with self._lock:
            self.sent += 1
            if right:
                self.answered += 1
                self.latencies_s.append(seconds)
            else:
                self.lost += 1
                self.sentences["an answer was not that of an undisturbed server"] += 1

    def add_refusal(self, sentence: str, seconds: float = 0.0) -> None:
        """Count a call that was refused as it should be."""
        with self._lock:
            self.sent += 1
            self.refused += 1
            self.refusals_s.append(seconds)
            self.sentences[f"refused: {sentence}"] += 1

    def add_loss(self, sentence: str) -> None:
        """Count a call that should have been answered."""
        with self._lock:
            self.sent += 1
            self.lost += 1
            self.sentences[f"lost: {sentence}"] += 1

    def into(self, outcome: Outcome) -> None:
        """Add it to an outcome; what was lost did not hold."""
        outcome.sent += self.sent
        outcome.answered += self.answered
        outcome.refused += self.refused
        outcome.lost += self.lost
        if self.lost:
            said = [
                (text, count)
                for text, count in self.sentences.most_common()
                if not text.startswith("refused: ")
            ]
            outcome.broken.append(
                f"{self.lost} of {self.sent} calls were lost: "
                + "; ".join(f"{count} x {text}" for text, count in said[:KEPT_SENTENCES])
            )


class Load:
    """Threads that share one Detector and send pictures in turn, without a pause.

    Args:
        connection: of the server or the servers.
        pictures: that they send.
        model: of the pipeline.
        bls: its other variant.
        threads: that send.
        retry: of the client; its own by default.
        refusals: exceptions that are refusals here; all others are losses.
        until_refused: whether a thread stops at its first refusal.
        pause_s: of each thread, between two calls.
    """

    def __init__(
        self,
        connection: str | Connection,
        pictures: Sequence[bytes] = SQUARES,
        *,
        model: str = "tiny",
        bls: bool = False,
        threads: int = 4,
        retry: RetryPolicy | None = None,
        timeout_s: float = 30,
        refusals: tuple[type[FramewireError], ...] = (),
        until_refused: bool = False,
        pause_s: float = 0.0,
    ) -> None:
        self.tally = Tally()
        self._detector = Detector(connection, model, bls=bls, retry=retry, timeout_s=timeout_s)
        self._pictures = pictures
        self._expected: list[Answer] = []
        self._refusals, self._until_refused, self._pause_s = refusals, until_refused, pause_s
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._send, args=(n,), daemon=True) for n in range(threads)
        ]

    def __enter__(self) -> Load:
        # What the servers answer before anything happens to them.
        self._expected = [to_the_bit(self._detector.detect(each)) for each in self._pictures]
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
        self._detector.close()

    def wait_for_more(self, calls: int) -> None:
        """Wait until so many more calls were answered, or many were lost, or for a minute."""
        enough, given_up = self.tally.answered + calls, self.tally.lost + GIVEN_UP_CALLS
        seconds_until(
            lambda: self.tally.answered >= enough or self.tally.lost >= given_up, PATIENCE_S
        )

    def wait_until_refused(self) -> None:
        """Wait until every thread has been refused, or for a minute."""
        for thread in self._threads:
            thread.join(PATIENCE_S)

    def _send(self, offset: int) -> None:
        number = offset
        while not self._stop.is_set():
            number = (number + 1) % len(self._pictures)
            begun = time.monotonic()
            try:
                found = self._detector.detect(self._pictures[number])
            except self._refusals as error:
                self.tally.add_refusal(str(error), time.monotonic() - begun)
                if self._until_refused:
                    return
            except Exception as error:  # noqa: BLE001 - whatever it is, a call was lost
                self.tally.add_loss(f"{type(error).__name__}: {error}")
            else:
                right = to_the_bit(found) == self._expected[number]
                self.tally.add_answer(right, time.monotonic() - begun)
            if self._pause_s:
                self._stop.wait(self._pause_s)


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the value that so many per cent of the values do not exceed; 0 of none."""
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]
