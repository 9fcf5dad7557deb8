"""Answers of one stream come in the order of its packets, and so do frames to its tracker."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from frame_steps import FrameSteps
from nms import Thresholds
from stream_answers import Packet, StreamAnswers, new_stream
from stream_frames import Note, StreamFrame

FRAME_US = 40_000
THRESHOLDS = Thresholds(conf=0.25, iou=0.7, max_det=20)
TRACKING = np.array([0.25, 0.1, 30, 2], np.float32)
# Pictures of 64x48 that are drawn as they are.
GEOMETRY = np.array([640, 480, 1, 1, 0, 0], np.float32)
LOOKED_AT = Note.FRAME | Note.LOOK | Note.TRACKED


def packet(number: int, notes: Note = LOOKED_AT, size: tuple[int, int] = (640, 480)) -> Packet:
    frame = StreamFrame(1, 0, notes, number, *size, number * FRAME_US)
    ticket = np.zeros(4, np.int64)
    return Packet(None, frame, THRESHOLDS, GEOMETRY, ticket, None, 0.0, done=Note.LOOK not in notes)


def stream() -> StreamAnswers:
    return new_stream(packet(0).frame, TRACKING, 300)


def see(packet: Packet, *centres: float, score: float = 0.9) -> None:
    """Have the network find things of 60x80 pixels at these places from the left."""
    packet.candidates = np.array(
        [[x - 30, 100, x + 30, 180, score, 0] for x in centres], np.float32
    ).reshape(-1, 6)
    packet.done = True


def ready(answers: StreamAnswers) -> list[tuple[int, list[int]]]:
    """Return the numbers of the packets that are answered now, with the ids in them."""
    return [
        (each.frame.time_us // FRAME_US, rows.track_ids.tolist()) for each, rows in answers.ready()
    ]


@pytest.mark.parametrize("seed", range(20))
def test_a_network_that_finishes_in_any_order_changes_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    in_order, mixed = stream(), stream()
    expected, found = [], []
    waiting: list[tuple[Packet, list[float]]] = []
    for number in range(60):
        notes = LOOKED_AT if number % 3 else Note.FRAME | Note.TRACKED
        # Two that pass each other: in another order they would change their ids.
        places = [100.0 + 7 * number, 520.0 - 7 * number]
        one, other = packet(number, notes), packet(number, notes)
        for each, answers in ((one, in_order), (other, mixed)):
            answers.add(each)
            if answers is in_order and Note.LOOK in notes:
                see(each, *places)
        expected += ready(in_order)
        if Note.LOOK in notes:
            waiting.append((other, places))
        while len(waiting) > rng.integers(6):
            done, where = waiting.pop(int(rng.integers(len(waiting))))
            see(done, *where)
            found += ready(mixed)
        found += ready(mixed)
    for done, where in waiting:
        see(done, *where)
        found += ready(mixed)
    assert [number for number, _ in found] == list(range(60))
    assert found == expected
    assert mixed.idle


def test_a_packet_waits_for_those_before_it_and_for_no_others() -> None:
    answers = stream()
    first, second, third = packet(0), packet(1, Note.FRAME | Note.TRACKED), packet(2)
    for each in (first, second, third):
        answers.add(each)
    assert ready(answers) == []
    see(first, 100)
    assert [number for number, _ in ready(answers)] == [0, 1]
    see(third, 100)
    assert [number for number, _ in ready(answers)] == [2]


def test_a_look_that_failed_is_a_frame_nobody_looked_at() -> None:
    answers = stream()
    for number in range(3):
        each = packet(number)
        answers.add(each)
        see(each, 100 + 5 * number)
        ready(answers)
    failed = packet(3)
    failed.error, failed.done = "unavailable", True
    answers.add(failed)
    ((answered, rows),) = answers.ready()
    assert answered.error == "unavailable"
    assert rows.track_ids.tolist() == [1]
    assert rows.boxes_xyxy[0, 0] > 80


def test_boxes_above_the_threshold_are_those_without_a_tracker() -> None:
    tracked, plain = stream(), new_stream(packet(0, Note.FRAME | Note.LOOK).frame, TRACKING, 300)
    for number in range(4):
        shown = []
        for answers in (tracked, plain):
            each = packet(number)
            answers.add(each)
            see(each, 100, 300, 310, 500)
            each.candidates[1:, 4] = (0.8, 0.7, 0.3)  # type: ignore[index]
            ((_, rows),) = answers.ready()
            shown.append(rows)
        for of_tracked, of_plain in zip(shown[0][:3], shown[1][:3], strict=True):
            np.testing.assert_array_equal(of_tracked, of_plain)
    assert shown[0].track_ids.tolist() == [1, 2, 3]
    assert shown[1].track_ids.tolist() == [0, 0, 0]


def test_a_box_below_the_threshold_is_shown_where_it_goes_on_with_a_track() -> None:
    answers = stream()
    counts = []
    for number, score in enumerate((0.9, 0.9, 0.15, 0.15, 0.05)):
        each = packet(number)
        answers.add(each)
        see(each, 100 + number, score=score)
        ((_, rows),) = answers.ready()
        counts.append(rows.track_ids.tolist())
    assert counts == [[1], [1], [1], [1], []]


def test_max_det_of_a_request_holds_for_predicted_boxes_too() -> None:
    answers = stream()
    for number in range(2):
        each = packet(number)
        answers.add(each)
        see(each, 100, 300, 500)
        ready(answers)
    unseen = packet(2, Note.FRAME | Note.TRACKED)
    unseen.thresholds = replace(THRESHOLDS, max_det=2)
    answers.add(unseen)
    ((_, rows),) = answers.ready()
    assert len(rows.track_ids) == 2


@pytest.mark.parametrize(("missing", "kept"), [(1, True), (20, True), (40, False)])
def test_tracks_outlive_lost_packets_up_to_their_buffer(missing: int, kept: bool) -> None:
    answers = stream()
    # 4 pixels a frame.
    for number in range(20):
        each = packet(number)
        answers.add(each)
        see(each, 60 + 4 * number)
        ready(answers)
    last = packet(20 + missing)
    answers.add(last)
    see(last, 60 + 4 * (20 + missing))
    assert ready(answers) == [(20 + missing, [1 if kept else 2])]


def test_frames_without_times_are_counted_by_the_packets_that_were_lost() -> None:
    steps = FrameSteps()
    assert [steps.step(-1) for _ in range(3)] == [1, 1, 1]
    steps.lost()
    steps.lost()
    assert steps.step(-1) == 3
    assert steps.step(-1) == 1


@pytest.mark.parametrize(
    ("gaps", "expected"),
    [
        ([40] * 8 + [80], 2),
        ([40] * 8 + [44], 1),
        ([33, 34] * 5 + [167], 5),
        ([40] * 8 + [-1000], 1),
        ([40] * 8 + [0], 1),
    ],
)
def test_frames_with_times_are_counted_by_them(gaps: list[int], expected: int) -> None:
    steps = FrameSteps()
    found = [steps.step(1000 * time) for time in itertools.accumulate([0, *gaps])]
    assert found[-1] == expected
    assert set(found[:-1]) == {1}


def test_what_the_decode_step_says_comes_as_it_was_said() -> None:
    frame = StreamFrame(7, 3, Note.FRAME | Note.END, 12, 1920, 1080, 2**60)
    assert StreamFrame.from_array(frame.to_array()) == frame
    # Whoever reaches the server may send anything.
    StreamFrame.from_array(np.full(8, -1, np.int64))
