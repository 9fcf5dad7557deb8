from __future__ import annotations

import threading

import numpy as np
import pytest
from contract import ImageStatus

from cores import allowed_cores
from decode import DecodeLimits
from frame_loader import FrameLoader
from frames import LoadedFrame, load_frame
from tests import images

LIMITS = DecodeLimits(2**20, 10**6)
GOOD = images.encoded(images.photograph(60, 40))


def test_an_image_fills_its_frame() -> None:
    frame = np.zeros((64, 64, 3), np.uint8)
    loaded = load_frame(GOOD, frame, LIMITS)
    assert loaded.status == ImageStatus.OK
    assert loaded.size == (60, 40)
    assert loaded.geometry[0] == 60
    assert frame.all()


def test_a_bad_image_leaves_padding_and_its_reason() -> None:
    frame = np.zeros((64, 64, 3), np.uint8)
    loaded = load_frame(b"junk", frame, LIMITS)
    assert loaded.status == ImageStatus.UNSUPPORTED_FORMAT
    assert "JPEG" in loaded.reason
    assert loaded.size == (0, 0)
    assert (frame == 114).all()


class Answers:
    """Collects what a loader reports."""

    def __init__(self, expected: int) -> None:
        self.results: dict[int, tuple[np.ndarray, list[LoadedFrame]] | BaseException] = {}
        self.calls = 0
        self._missing = threading.Semaphore(0)
        self._expected = expected

    def loaded(self, number: int):
        def keep(frames: np.ndarray, loaded: list[LoadedFrame]) -> None:
            self.calls += 1
            self.results[number] = (frames, loaded)
            self._missing.release()

        return keep

    def failed(self, number: int):
        def keep(error: BaseException) -> None:
            self.calls += 1
            self.results[number] = error
            self._missing.release()

        return keep

    def wait(self) -> None:
        for _ in range(self._expected):
            assert self._missing.acquire(timeout=30)


def test_every_request_is_answered_with_its_own_images_in_order() -> None:
    loader = FrameLoader(64, 64, LIMITS, "centre", workers=3)
    sizes = [
        [(10 + request + image, 20) for image in range(request % 5 + 1)] for request in range(40)
    ]
    answers = Answers(len(sizes))
    for number, request in enumerate(sizes):
        files = [images.encoded(images.photograph(*size)) for size in request]
        loader.load(files, answers.loaded(number), answers.failed(number))
    answers.wait()
    loader.close()
    assert answers.calls == len(sizes)
    for number, request in enumerate(sizes):
        frames, loaded = answers.results[number]
        assert frames.shape == (len(request), 64, 64, 3)
        assert [frame.size for frame in loaded] == request


def test_bad_images_stay_in_their_place_among_good_ones() -> None:
    loader = FrameLoader(64, 64, LIMITS, "centre", workers=2)
    answers = Answers(1)
    loader.load([GOOD, b"", GOOD, b"junk"], answers.loaded(0), answers.failed(0))
    answers.wait()
    loader.close()
    frames, loaded = answers.results[0]
    assert [frame.status for frame in loaded] == [0, ImageStatus.EMPTY, 0, 2]
    np.testing.assert_array_equal(frames[0], frames[2])
    assert (frames[1] == 114).all()


def test_an_unexpected_error_is_reported_once_and_the_loader_goes_on() -> None:
    loader = FrameLoader(64, 64, LIMITS, "centre", workers=2)
    answers = Answers(2)
    loader.load([GOOD, 42, 43], answers.loaded(0), answers.failed(0))  # type: ignore[list-item]
    loader.load([GOOD], answers.loaded(1), answers.failed(1))
    answers.wait()
    loader.close()
    assert isinstance(answers.results[0], TypeError)
    assert len(answers.results[1]) == 2


def test_an_error_while_answering_is_reported_too() -> None:
    loader = FrameLoader(64, 64, LIMITS, "centre", workers=1)
    answers = Answers(1)

    def cannot_answer(*_: object) -> None:
        raise RuntimeError("no shared memory left")

    loader.load([GOOD], cannot_answer, answers.failed(0))
    answers.wait()
    loader.close()
    assert isinstance(answers.results[0], RuntimeError)


def test_closing_finishes_what_was_accepted() -> None:
    loader = FrameLoader(64, 64, LIMITS, "centre", workers=1)
    answers = Answers(2)
    for number in range(2):
        loader.load([GOOD], answers.loaded(number), answers.failed(number))
    loader.close()
    assert sorted(answers.results) == [0, 1]


def test_cores_follow_the_affinity_and_the_container_quota(
    monkeypatch: pytest.MonkeyPatch, tmp_path
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)))
    quota = tmp_path / "cpu.max"
    monkeypatch.setattr("cores.CGROUP_V2_QUOTA", quota)
    monkeypatch.setattr("cores.CGROUP_V1_QUOTA", tmp_path / "missing")
    assert allowed_cores() == 8
    for text, expected in (("max 100000", 8), ("250000 100000", 2), ("50000 100000", 1)):
        quota.write_text(text)
        assert allowed_cores() == expected
    quota.unlink()
    v1 = tmp_path / "cfs_quota_us"
    monkeypatch.setattr("cores.CGROUP_V1_QUOTA", v1)
    period = tmp_path / "cfs_period_us"
    monkeypatch.setattr("cores.CGROUP_V1_PERIOD", period)
    period.write_text("100000")
    for text, expected in (("-1", 8), ("400000", 4)):
        v1.write_text(text)
        assert allowed_cores() == expected
