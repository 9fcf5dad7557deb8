"""TensorRT's optimization profiles for frames of several sizes: which ones a plan is fastest for.

A plan takes the sizes of its profiles and no others, and its kernels are chosen for the optimum of
each. The first profile takes every frame that the pipeline makes, so that none is refused; the
others are made for the pictures that are expected. Triton runs a batch with the profile whose
optimum is nearest to it among those that take it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from builder.detectors.frame_shapes import Framing, frame_size
from builder.errors import SettingsError
from builder.pipelines.model_configs import PLAN_PROFILES

# Cameras and films, older cameras and phones, pictures of goods and microscopes.
DEFAULT_ASPECTS = "16:9,4:3,1:1"
# Beside the one for all frames.
MOST_ASPECTS = PLAN_PROFILES - 1
ASPECT = re.compile(r"(\d{1,5}):(\d{1,5})")
# Of a picture with some aspect: so large that rounding its size does not count.
PICTURE_SIDE = 10_000

Sides = tuple[int, int]


@dataclass(frozen=True)
class FrameProfile:
    """A profile: what a plan takes and what it is made fastest for, as batch, height, width."""

    smallest: tuple[int, int, int]
    best: tuple[int, int, int]
    largest: tuple[int, int, int]


@dataclass(frozen=True)
class Batches:
    """Sizes of the batches of a plan: smallest, the one it is made for, largest."""

    smallest: int
    best: int
    largest: int


def parse_aspects(text: str) -> tuple[tuple[Sides, Sides], ...]:
    """Return aspects, width and height, as ranges: the first and the last; both are one for one.

    Args:
        text: as ``16:9,4:3`` or ``4:3-16:9``; the latter is everything between the two.

    Raises:
        SettingsError: it is not, or there are more than a plan has profiles for.
    """
    aspects = []
    for part in text.split(","):
        sides = [_sides(end, part) for end in part.strip().split("-")]
        if len(sides) > 2:
            raise SettingsError(_not_understood(part))
        aspects.append((sides[0], sides[-1]))
    if len(aspects) > MOST_ASPECTS:
        raise SettingsError(
            f"--aspects has {len(aspects)} aspects, and a plan is made for {MOST_ASPECTS} at most: "
            "join some in a range, as in 4:3-16:9; frames of all other sizes are taken too"
        )
    return tuple(aspects)


def _sides(text: str, part: str) -> Sides:
    found = ASPECT.fullmatch(text.strip())
    width, height = map(int, found.groups()) if found else (0, 0)
    if not width or not height:
        raise SettingsError(_not_understood(part))
    return width, height


def _not_understood(part: str) -> str:
    return f"--aspects has {part.strip()!r}: give width:height, as in {DEFAULT_ASPECTS} or 4:3-16:9"


def frame_profiles(framing: Framing, batches: Batches, aspects: str) -> list[FrameProfile]:
    """Return as many profiles as Triton's config names, for frames that are rectangles.

    Args:
        framing: of the pipeline.
        batches: that the plan takes.
        aspects: of the pictures it is made fastest for, see :func:`parse_aspects`.

    Raises:
        SettingsError: the aspects are none.
    """
    whole = (framing.width, framing.height)
    least = (min(framing.least_side, whole[0]), min(framing.least_side, whole[1]))
    profiles = [_profile(batches, least, whole, whole)]
    for ends in parse_aspects(aspects):
        sizes = [
            frame_size(PICTURE_SIDE * width, PICTURE_SIDE * height, framing)
            for width, height in ends
        ]
        smallest = (min(size[0] for size in sizes), min(size[1] for size in sizes))
        largest = (max(size[0] for size in sizes), max(size[1] for size in sizes))
        # Of a range the last is the one that TensorRT tries.
        profiles.append(_profile(batches, smallest, sizes[-1], largest))
    # A plan that lacks one of the profiles that its config names does not load.
    return profiles + profiles[-1:] * (PLAN_PROFILES - len(profiles))


def _profile(batches: Batches, smallest: Sides, best: Sides, largest: Sides) -> FrameProfile:
    return FrameProfile(
        (batches.smallest, *_rows_first(smallest)),
        (batches.best, *_rows_first(best)),
        (batches.largest, *_rows_first(largest)),
    )


def _rows_first(size: Sides) -> Sides:
    return size[1], size[0]


def profile_options(profiles: Sequence[FrameProfile], tensor: str) -> list[str]:
    """Return trtexec's options for profiles of a tensor ``[N, height, width, 3]``."""
    options = []
    for number, profile in enumerate(profiles):
        options.append(f"--profile={number}")
        for name, shape in (
            ("min", profile.smallest),
            ("opt", profile.best),
            ("max", profile.largest),
        ):
            options.append(f"--{name}Shapes={tensor}:{'x'.join(map(str, shape))}x3")
    return options
