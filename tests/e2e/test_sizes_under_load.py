"""Pictures of several sizes under load, while the network makes compilations for some of them."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.conftest import ROOT
from tests.serving import Serving, serving
from thin_client import Detections, Detector

REPOSITORY = ROOT / "model_repository"
PICTURES = [
    (ROOT / "samples" / f"{name}.jpg").read_bytes() for name in ("warehouse", "portrait", "desk")
]
SENDERS, EACH = 6, 24


@pytest.fixture(scope="module")
def demo() -> Iterator[Serving]:
    with serving(REPOSITORY) as server:
        yield server


def found(detections: Detections) -> list[tuple[str, list[float]]]:
    return sorted((each.label, [float(side) for side in each.box_xyxy]) for each in detections)


@pytest.mark.parametrize("bls", [False, True])
def test_every_picture_is_answered_alike_from_the_first_to_the_last(
    demo: Serving, bls: bool
) -> None:
    def send(sender: int) -> list[tuple[int, list[tuple[str, list[float]]]]]:
        with Detector(demo.url, "codes", bls=bls) as detector:
            numbers = [(sender + turn) % len(PICTURES) for turn in range(EACH)]
            return [(number, found(detector.detect(PICTURES[number]))) for number in numbers]

    with Detector(demo.url, "codes", bls=bls) as detector:
        firsts = [found(detector.detect(picture)) for picture in PICTURES]
    assert all(firsts)
    with ThreadPoolExecutor(SENDERS) as senders:
        answers = [answer for sent in senders.map(send, range(SENDERS)) for answer in sent]
    assert len(answers) == SENDERS * EACH
    for number, answer in answers:
        assert [label for label, _ in answer] == [label for label, _ in firsts[number]]
        for (_, box), (_, first) in zip(answer, firsts[number], strict=True):
            assert box == pytest.approx(first, abs=0.1)
