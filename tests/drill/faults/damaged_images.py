"""Damaged images among good ones: alone, in client batches, in streams of images and of packets."""

from __future__ import annotations

import functools
import itertools
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tritonclient.grpc import InferenceServerClient
from tritonclient.utils import InferenceServerException

from builder.settings import Shape
from tests.drill.damage import CERTAIN, GOOD, KINDS
from tests.drill.load import Answer, to_the_bit
from tests.drill.memory import MemoryWatch
from tests.drill.outcome import Outcome
from tests.drill.repositories import NAME, tiny_repository
from tests.drill.scale import Scale
from tests.drill.servers import Server, served
from tests.e2e import packets
from thin_client import BadImage, Detections, Detector
from thin_client.contract import (
    READ_STATUSES,
    STATUS_SENTENCES,
    DamagedImages,
    ImageStatus,
    model_names,
)

EACH_LONG, EACH_SHORT = 10_000, 400
GOOD_OF_EACH_FORMAT = 6
# Good and as many damaged ones: what one request, or one stream of packets, holds of them.
GOOD_IN_A_JOB = 8
THREADS = 4
# What the requests ask for; the pipeline refuses what is damaged.
DAMAGED = (None, DamagedImages.ACCEPT.value)
# Files and folders of the server, and what Python says when nobody caught an error.
LEAK = re.compile(r"(?:^|[\s'\"(])/[\w.-]+/|\.py\b|Traceback|File \"")
MJPEG_STATUSES = {
    *READ_STATUSES,
    ImageStatus.CORRUPT_PACKET,
    ImageStatus.WAITING_FOR_KEY_FRAME,
}


@dataclass
class Found:
    """What came back, counted from several threads."""

    good_lost: int = 0
    good_answered: int = 0
    damaged_told: int = 0
    damaged_read: int = 0
    damaged_shown: int = 0
    damaged_lost: int = 0
    said: Counter[str] = field(default_factory=Counter)
    complaints: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass(frozen=True)
class Picture:
    """A file to send; of a good one the answer of an undisturbed server, of others None."""

    data: bytes
    expected: Answer | None
    kind: str


@dataclass(frozen=True)
class Said:
    """What came back for a file: an answer with its status, or a sentence."""

    answer: Answer | None
    status: ImageStatus
    error: str | None


Sender = Callable[[Sequence[Picture], Found], None]


def run(scale: Scale, folder: Path) -> Outcome:
    """Send as many damaged images as good ones, in every way a client can send them."""
    each = scale.of(EACH_LONG, EACH_SHORT)
    outcome = Outcome(f"{each} damaged of {len(KINDS)} kinds among {each} good")
    # Rectangles of several sizes in one request become whole frames, which find other boxes than
    # each of them alone; here an answer is to be the same whatever came with it.
    repository = tiny_repository(folder, stream=True, shape=Shape.SQUARE)
    with served(repository) as server:
        ways = list(_ways(server))
        before = {server.triton_pid(): "tritonserver", **server.models()}
        with MemoryWatch(lambda: [server]) as watch:
            found = _send_all(ways, each)
        outcome.expect(
            before == {server.triton_pid(): "tritonserver", **server.models()},
            "a process of the server died",
        )
        outcome.peak_mb = watch.peak_mb
    outcome.sent = 2 * each
    outcome.answered = found.good_answered + found.damaged_read + found.damaged_shown
    outcome.refused = found.damaged_told
    outcome.lost = found.good_lost + found.damaged_lost
    outcome.broken += found.complaints[:5]
    counted = outcome.answered + outcome.refused + outcome.lost
    outcome.expect(counted == outcome.sent, f"only {counted} answers came back")
    leaks = [text for text in found.said if LEAK.search(text)]
    outcome.expect(not leaks, f"a path leaked: {leaks[:1]}")
    outcome.notes.append(
        f"{found.damaged_read} damaged files were whole pictures all the same, of "
        f"{found.damaged_shown} what could be decoded was looked at where that was asked for; the "
        f"others were refused with {len(found.said)} different sentences"
    )
    return outcome


def _ways(server: Server) -> list[tuple[Sender, list[Picture]]]:
    """Return each way to send, and the good pictures with what it answers to them undisturbed."""
    good = {
        name: [make(np.random.default_rng([3, seed])) for seed in range(GOOD_OF_EACH_FORMAT)]
        for name, make in GOOD.items()
    }
    files = [file for of_format in good.values() for file in of_format]
    ways: list[tuple[Sender, list[Picture]]] = []
    for bls in (False, True):
        detector = Detector(server.url, NAME, bls=bls)
        pool = [Picture(file, to_the_bit(detector.detect(file)), "good") for file in files]
        ways += [
            (functools.partial(send, detector, damaged), pool)
            for send in (_alone, _in_a_batch, _in_a_stream)
            for damaged in DAMAGED
        ]
    client, numbers = InferenceServerClient(server.url), itertools.count(1)
    model = model_names(NAME).stream
    frames = good["jpeg"]
    answers = packets.send_all(client, model, next(numbers), frames, "mjpeg")
    pool = [
        Picture(frame, _packet_answer(answer), "good")
        for frame, answer in zip(frames, answers, strict=True)
    ]
    ways += [
        (functools.partial(_in_packets, client, model, numbers, damaged), pool)
        for damaged in DAMAGED
    ]
    return ways


def _send_all(ways: Sequence[tuple[Sender, list[Picture]]], each: int) -> Found:
    found = Found()
    jobs = range(each // GOOD_IN_A_JOB)
    kinds = list(KINDS.items())

    def send(number: int) -> None:
        random = np.random.default_rng([7, number])
        sender, pool = ways[number % len(ways)]
        job = [pool[int(random.integers(len(pool)))] for _ in range(GOOD_IN_A_JOB)]
        for place in range(GOOD_IN_A_JOB):
            name, make = kinds[(number * GOOD_IN_A_JOB + place) % len(kinds)]
            job.append(Picture(make(random), None, name))
        order = [int(at) for at in random.permutation(len(job))]
        sender([job[at] for at in order], found)

    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(send, jobs))
    return found


def _said(detections: Detections) -> Said:
    return Said(to_the_bit(detections), detections.status, detections.error)


def _alone(detector: Detector, damaged: str | None, job: Sequence[Picture], found: Found) -> None:
    for picture in job:
        try:
            said = _said(detector.detect(picture.data, damaged=damaged))
        except BadImage as error:
            _count(found, picture, Said(None, error.status, str(error)))
        except Exception as error:  # noqa: BLE001 - whatever it is, an answer was lost
            _lose(found, picture, error)
        else:
            _count(found, picture, said)


def _in_a_batch(
    detector: Detector, damaged: str | None, job: Sequence[Picture], found: Found
) -> None:
    try:
        answers = detector.detect_batch([picture.data for picture in job], damaged=damaged)
    except Exception as error:  # noqa: BLE001 - whatever it is, answers were lost
        for picture in job:
            _lose(found, picture, error)
        return
    for picture, answer in zip(job, answers, strict=True):
        _count(found, picture, _said(answer))


def _in_a_stream(
    detector: Detector, damaged: str | None, job: Sequence[Picture], found: Found
) -> None:
    left = list(job)
    try:
        for answer in detector.detect_stream((each.data for each in job), damaged=damaged):
            _count(found, left.pop(0), _said(answer))
    except Exception as error:  # noqa: BLE001 - whatever it is, answers were lost
        for picture in left:
            _lose(found, picture, error)


def _in_packets(
    client: InferenceServerClient,
    model: str,
    numbers: Iterator[int],
    damaged: str | None,
    job: Sequence[Picture],
    found: Found,
) -> None:
    stream = next(numbers)
    # A stream that does not open has nothing more to show.
    job = sorted(job, key=lambda picture: picture is not next(p for p in job if p.expected))
    for number, picture in enumerate(job):
        options = {"start": True, "codec": "mjpeg"} if number == 0 else {}
        if damaged is not None:
            options["damaged"] = damaged
        try:
            answer = packets.send(
                client, model, stream, picture.data, end=number == len(job) - 1, **options
            )
        except InferenceServerException as error:
            # Over a limit of the pipeline: the one thing in a packet that is told as an error.
            if picture.expected is None and "INVALID_ARGUMENT" in str(error.status()):
                _count(found, picture, Said(None, ImageStatus.CORRUPT_PACKET, error.message()))
            else:
                _lose(found, picture, error)
            continue
        status = ImageStatus(packets.status(answer))
        if status not in MJPEG_STATUSES:
            _lose(found, picture, ValueError(f"status {status}"))
        else:
            sentence = None if status in READ_STATUSES else STATUS_SENTENCES[status]
            _count(found, picture, Said(_packet_answer(answer), status, sentence))


def _packet_answer(answer: packets.Answer) -> Answer:
    size = answer["image_size"]
    return (
        answer["det_boxes"].tobytes(),
        answer["det_scores"].tobytes(),
        answer["det_classes"].tobytes(),
        int(size[0, 0]),
        int(size[0, 1]),
    )


def _count(found: Found, picture: Picture, said: Said) -> None:
    with found.lock:
        if said.error is not None:
            found.said[said.error] += 1
        if picture.expected is None:
            _count_damaged(found, picture, said)
        elif said.status is ImageStatus.OK and said.answer == picture.expected:
            found.good_answered += 1
        else:
            found.good_lost += 1
            found.complaints.append(f"a good image was answered otherwise ({said.error})")


def _count_damaged(found: Found, picture: Picture, said: Said) -> None:
    if said.error is not None:
        found.damaged_told += 1
    elif said.status is ImageStatus.DAMAGED:
        found.damaged_shown += 1
    else:
        found.damaged_read += 1
        if picture.kind in CERTAIN:
            found.complaints.append(f"{picture.kind}: it was read as if it were whole")


def _lose(found: Found, picture: Picture, error: Exception) -> None:
    with found.lock:
        found.said[str(error)] += 1
        if picture.expected is None:
            found.damaged_lost += 1
        else:
            found.good_lost += 1
        found.complaints.append(f"{picture.kind}: {type(error).__name__}: {error}")
