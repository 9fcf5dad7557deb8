"""Videos whose things have known identities: codes of the sample pictures that move.

Codes are cut out of the pictures with what surrounds them, laid on a blurred photograph, and moved:
along a belt, on smooth paths that cross, to and fro, and past posts that hide them. Nothing of it
is random but by its seed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

SAMPLES = Path(__file__).parents[2] / "samples"
WIDTH, HEIGHT, FPS = 1280, 720, 30
# Of what is cut out around a code, by its size: its quiet zone.
MARGIN = 0.12
CERTAIN = 0.9
KINDS = ("belt", "crossing", "to and fro", "posts")
# A thing is there while so much of it is in the picture, and not behind others.
LEAST_SEEN = 0.5
POST_WIDTH = 70

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Thing:
    """A code that moves.

    Attributes:
        identity: from 1.
        kind: its class.
        picture: BGR, what is cut out, its code in the middle.
        path: float64 ``[frames, 2]``, its centre.
    """

    identity: int
    kind: int
    picture: Picture
    path: NDArray[np.float64]

    @property
    def code_size(self) -> NDArray[np.float64]:
        """Width and height of the code itself."""
        rows, columns = self.picture.shape[:2]
        return np.array([columns, rows]) / (1 + 2 * MARGIN)


@dataclass(frozen=True)
class Frame:
    """One frame and what is in it: int ``[n]``, int ``[n]`` and float64 ``[n, 4]``."""

    picture: Picture
    identities: NDArray[np.intp]
    kinds: NDArray[np.intp]
    boxes_xyxy: NDArray[np.float64]


def frames(kind: str, seed: int, seconds: float) -> Iterator[Frame]:
    """Yield the frames of a scene."""
    rng = np.random.default_rng(seed)
    count = round(seconds * FPS)
    background = _background(rng)
    things = _things(rng, kind, count)
    posts = np.linspace(0.2, 0.8, 3) * WIDTH if kind == "posts" else np.empty(0)
    for number in range(count):
        picture = background.copy()
        # What of each thing can be seen: later ones lie above.
        owner = np.zeros((HEIGHT, WIDTH), np.int16)
        for thing in things:
            _lay(picture, owner, thing, thing.path[number])
        for x in posts:
            left, right = int(x - POST_WIDTH / 2), int(x + POST_WIDTH / 2)
            picture[:, left:right] = (70, 80, 90)
            owner[:, left:right] = -1
        seen = [each for each in things if _is_seen(owner, each, each.path[number])]
        noise = rng.normal(0, 3, picture.shape)
        yield Frame(
            np.clip(picture + noise, 0, 255).astype(np.uint8),
            np.array([each.identity for each in seen], np.intp),
            np.array([each.kind for each in seen], np.intp),
            np.array([_box(each, each.path[number]) for each in seen]).reshape(-1, 4),
        )


def _background(rng: np.random.Generator) -> Picture:
    file = rng.choice(sorted(str(each) for each in (SAMPLES / "golden").glob("*.jpg")))
    photograph = _read(Path(file))
    # Blurred, so that no code of the photograph is found.
    wide = cv2.resize(cv2.GaussianBlur(photograph, (0, 0), 9), (WIDTH, HEIGHT))
    return np.asarray(wide, np.uint8)


def _read(file: Path) -> Picture:
    picture = cv2.imread(str(file))
    if picture is None:
        raise FileNotFoundError(file)
    return np.asarray(picture, np.uint8)


def _cut_outs() -> list[tuple[int, Picture]]:
    found = []
    for image in json.loads((SAMPLES / "golden.json").read_text())["images"]:
        picture = _read(SAMPLES / image["file"])
        rows, columns = picture.shape[:2]
        for each in image["detections"]:
            left, top, right, bottom = each["box"]
            wide, high = MARGIN * (right - left), MARGIN * (bottom - top)
            if each["score"] < CERTAIN or min(right - left, bottom - top) < 40:
                continue
            if left < wide or top < high or right + wide > columns or bottom + high > rows:
                continue
            area = picture[
                round(top - high) : round(bottom + high), round(left - wide) : round(right + wide)
            ]
            found.append((each["class"], area.copy()))
    return found


def _things(rng: np.random.Generator, kind: str, count: int) -> list[Thing]:
    cut_outs = _cut_outs()
    time = np.arange(count) / FPS
    things = []
    for number in range(9):
        code, area = cut_outs[int(rng.integers(len(cut_outs)))]
        longest = rng.uniform(90, 150)
        scale = longest / max(area.shape[:2])
        picture = cv2.resize(area, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        path = _path(rng, kind, number, time)
        things.append(Thing(number + 1, code, np.asarray(picture, np.uint8), path))
    return things


def _path(
    rng: np.random.Generator, kind: str, number: int, time: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the centre of a thing at each time, pixels; 60 to 200 pixels a second."""
    if kind in {"belt", "posts"}:
        speed = 120.0 if kind == "belt" else 90.0
        row = HEIGHT * (0.2 + 0.3 * (number % 3)) + rng.uniform(-15, 15)
        start = -100 - 180 * (number // 3) * (1 if kind == "belt" else 1.5) + rng.uniform(-30, 30)
        start += 500
        direction = 1 if number % 3 != 1 else -1
        x = start + speed * time
        return np.column_stack([x if direction > 0 else WIDTH - x, np.full_like(time, row)])
    reach = rng.uniform(0.15, 0.4, 2) * (WIDTH, HEIGHT)
    middle = np.array([WIDTH, HEIGHT]) * rng.uniform(0.35, 0.65, 2)
    if kind == "to and fro":
        middle = np.array([WIDTH, HEIGHT]) * (0.2 + 0.3 * (number % 3), 0.2 + 0.3 * (number // 3))
        reach = np.array([90.0, 60.0])
    # So that none is faster than 200 pixels a second.
    rate = rng.uniform(60, 200, 2) / reach
    phase = rng.uniform(0, 2 * np.pi, 2)
    return middle + reach * np.sin(rate * time[:, None] + phase)


def _box(thing: Thing, centre: NDArray[np.float64]) -> NDArray[np.float64]:
    half = thing.code_size / 2
    box = np.concatenate([centre - half, centre + half])
    return np.clip(box, 0, (WIDTH, HEIGHT, WIDTH, HEIGHT))


def _lay(picture: Picture, owner: NDArray[np.int16], thing: Thing, centre: object) -> None:
    rows, columns = thing.picture.shape[:2]
    left, top = np.round(np.asarray(centre) - (columns / 2, rows / 2)).astype(int)
    x1, y1, x2, y2 = max(left, 0), max(top, 0), min(left + columns, WIDTH), min(top + rows, HEIGHT)
    if x2 > x1 and y2 > y1:
        picture[y1:y2, x1:x2] = thing.picture[y1 - top : y2 - top, x1 - left : x2 - left]
        owner[y1:y2, x1:x2] = thing.identity


def _is_seen(owner: NDArray[np.int16], thing: Thing, centre: NDArray[np.float64]) -> bool:
    x1, y1, x2, y2 = np.round(_box(thing, centre)).astype(int)
    own = np.count_nonzero(owner[y1:y2, x1:x2] == thing.identity)
    return bool(own >= LEAST_SEEN * np.prod(thing.code_size))
