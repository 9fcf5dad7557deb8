"""Who may look next, without a network."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from look_scheduler import PAUSE_S, SILENT_S, LookScheduler
from stream_frames import Note, StreamFrame
from ticket_memory import ALLOWED, ROOM

PLACES = 8


class Site:
    """Streams in one process, and a network that looks at one frame after the other."""

    def __init__(self, streams: int, most: int = 8) -> None:
        self.now = 100.0
        self.memory = np.zeros(ALLOWED + PLACES, np.int64)
        self.scheduler = LookScheduler(most, clock=lambda: self.now)
        self.taken = [0] * streams
        self.looks: Counter[int] = Counter()
        self.queue: list[tuple[int, float, StreamFrame]] = []

    def packet(self, stream: int, *, wants: bool = True, end: bool = False) -> bool:
        """Send a frame; return whether it is looked at."""
        look = bool(wants and self.taken[stream] < self.memory[ALLOWED + stream])
        self.taken[stream] += look
        notes = Note.FRAME | Note.CHOSEN
        for note, holds in ((Note.LOOK, look), (Note.WANTS, wants), (Note.END, end)):
            notes |= note if holds else Note(0)
        frame = StreamFrame(stream, stream, notes, self.taken[stream], 64, 64, -1)
        if look:
            self.queue.append((stream, self.now, frame))
        self.scheduler.arrived(stream, frame, self.memory)
        return look

    def done(self) -> None:
        """Have the network finish what came first."""
        stream, since, frame = self.queue.pop(0)
        self.looks[stream] += 1
        self.scheduler.looked([frame], self.now - since)

    def run(self, seconds: float, look_s: float, periods: list[float]) -> float:
        """Run streams with so much time between frames; return how long the network was idle."""
        due = [self.now + period * number / 7 for number, period in enumerate(periods)]
        end, free, idle = self.now + seconds, None, 0.0
        while self.now < end:
            times = [*due, free if free is not None else float("inf")]
            next_time = min(times)
            if not self.queue:
                idle += next_time - self.now
            self.now = next_time
            if free == next_time:
                self.done()
                free = self.now + look_s if self.queue else None
            else:
                stream = times.index(next_time)
                self.packet(stream)
                due[stream] += periods[stream]
                if free is None and self.queue:
                    free = self.now + look_s
        return idle


def test_streams_have_as_many_looks_and_the_network_is_busy() -> None:
    site = Site(6)
    idle = site.run(20, 0.06, [1 / 30] * 6)
    assert min(site.looks.values()) >= 0.9 * max(site.looks.values())
    assert idle < 1
    assert sum(site.looks.values()) > 0.95 * 20 / 0.06


def test_a_fast_network_is_kept_busy_too() -> None:
    site = Site(8, most=32)
    idle = site.run(10, 0.008, [1 / 30] * 8)
    assert idle < 1.5
    assert min(site.looks.values()) >= 0.9 * max(site.looks.values())


def test_cameras_of_different_rates_have_as_many_looks() -> None:
    site = Site(3)
    site.run(30, 0.1, [1 / 30, 1 / 10, 1 / 60])
    assert min(site.looks.values()) >= 0.8 * max(site.looks.values())


def test_a_camera_of_one_frame_a_second_has_them_all_and_holds_up_nobody() -> None:
    site = Site(3)
    idle = site.run(30, 0.06, [1.0, 1 / 30, 1 / 30])
    assert site.looks[0] >= 25
    assert idle < 3


def test_few_frames_wait_for_the_network() -> None:
    site = Site(6)
    longest = 0
    for _ in range(400):
        site.run(0.05, 0.06, [1 / 30] * 6)
        longest = max(longest, len(site.queue))
    assert longest <= 6


@pytest.mark.parametrize("end", [True, False])
def test_streams_that_send_no_more_take_nobodys_room(end: bool) -> None:
    site = Site(3, most=2)
    for stream in (0, 1, 2):
        site.packet(stream)
    # The first two may look, and there is no more room.
    assert site.memory[ALLOWED : ALLOWED + 3].tolist() == [1, 1, 0]
    assert site.memory[ROOM] == 0
    assert not site.packet(2)
    if end:
        for stream in (0, 1):
            site.packet(stream, wants=False, end=True)
    else:
        site.now += 2 * PAUSE_S
    for _ in range(6):
        if site.packet(2):
            site.done()
    assert site.looks[2] >= 3


def test_a_look_that_never_came_is_not_waited_for() -> None:
    site = Site(1, most=2)
    site.packet(0)
    for _ in range(5):
        # The decode step took a look, and its packet was lost on the way.
        site.taken[0] += 1
        site.packet(0, wants=True)
        if site.queue:
            site.done()
        assert site.memory[ALLOWED] > site.taken[0]


def test_a_place_that_is_none_is_not_written() -> None:
    site = Site(1)
    frame = StreamFrame(9, PLACES, Note.FRAME | Note.CHOSEN | Note.WANTS, 0, 64, 64, -1)
    site.scheduler.arrived("made up", frame, site.memory)
    assert not site.memory[ALLOWED:].any()


def test_time_counts_in_which_streams_want_looks_and_the_network_has_some() -> None:
    site = Site(streams=2)
    site.packet(0, wants=False)
    site.now += 5
    # Nobody wanted any.
    assert site.scheduler.wanted_seconds() == (0, 0)
    site.packet(0)
    site.now += 1
    # It may take a look with its next frame, and the network has nothing meanwhile.
    assert site.packet(0)
    site.now += 0.5
    site.done()
    site.now += 0.25
    wanted, used = site.scheduler.wanted_seconds()
    assert wanted == pytest.approx(1.75)
    assert used == pytest.approx(0.5)
    assert site.scheduler.wanted_seconds() == (0, 0)
    # What is silent wants nothing.
    site.now += 60
    assert site.scheduler.wanted_seconds() == (SILENT_S, 0)
