"""How often the network looks at a stream, and how its tracker is set; see docs/protocol.md."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypedDict

from thin_client.contract import DETECT_FPS, DETECT_FPS_AUTO, TRACK_PARAMETERS
from thin_client.errors import InvalidRequestParameter, PipelineNotFound
from thin_client.parameters import WireParameters
from thin_client.pipeline import Pipeline

__all__ = ["ALL_FRAMES", "EVERY_FRAME", "Looks", "TrackOptions", "looks_from"]

ALL_FRAMES = "all"
# Of those that are whole numbers, the smallest.
_LEAST = {"track_buffer": 0, "min_hits": 1}


class TrackOptions(TypedDict, total=False):
    """How the server's tracker is set for a stream; what is left out is the pipeline's default.

    Keys:
        track_high: lowest score of the first stage of association, 0 to 1.
        track_low: of the second stage, 0 to 1.
        track_buffer: frames for which a lost track may be found again, from 0.
        min_hits: looks that must have found a track before it is shown, from 1.
    """

    track_high: float | None
    track_low: float | None
    track_buffer: int | None
    min_hits: int | None


@dataclass(frozen=True)
class Looks:
    """What was asked for; checked.

    Attributes:
        detect_fps: looks a second, "auto", "all", or None: "auto" where the source is live, else
            every frame.
        options: of TRACK_PARAMETERS those that were given, as the server takes them.
    """

    detect_fps: float | str | None
    options: tuple[tuple[str, str | int], ...] = ()

    def of(self, *, live: bool) -> Looks:
        """Return what that means for a source."""
        if self.detect_fps is not None:
            return self
        return Looks(DETECT_FPS_AUTO if live else ALL_FRAMES, self.options)

    def fewer(self, pipeline: Pipeline) -> bool:
        """Return whether a pipeline is to look at fewer frames than there are."""
        return pipeline.looks and self.detect_fps not in (None, ALL_FRAMES)

    def wire(self, pipeline: Pipeline) -> WireParameters:
        """Return what the packet that begins a stream says; nothing that ``pipeline`` ignores."""
        asked: WireParameters = dict(self.options) if pipeline.tracks else {}
        if self.fewer(pipeline):
            auto = self.detect_fps == DETECT_FPS_AUTO
            asked[DETECT_FPS] = DETECT_FPS_AUTO if auto else _text(float(self.detect_fps or 0))
        return asked

    def refuse_without(self, streams: Pipeline | None, pipeline: Pipeline) -> None:
        """Refuse what was asked for in words and that a pipeline does not do.

        Args:
            streams: what takes packets; None where nothing does, or pictures are to be sent.
            pipeline: what takes images.

        Raises:
            PipelineNotFound: it does not.
        """
        asked = [name for name, _ in self.options]
        if self.detect_fps not in (None, ALL_FRAMES):
            asked.insert(0, DETECT_FPS)
        for name in asked:
            if streams is None or not (streams.looks if name == DETECT_FPS else streams.tracks):
                sent = "takes no video, or is sent pictures"
                what = sent if streams is None else "was built without it"
                raise PipelineNotFound(
                    f"{name} (--{name.replace('_', '-')}) cannot be had: the pipeline"
                    f" {pipeline.model!r} {what}; build it with"
                    " 'framewire build --stream --replace'"
                    f"{'' if name == DETECT_FPS else ' and without --no-track'}"
                )


EVERY_FRAME = Looks(ALL_FRAMES)


def looks_from(detect_fps: float | str | None, **options: float | None) -> Looks:
    """Return what a person's words stand for; ranges are those of docs/protocol.md.

    Args:
        detect_fps: looks a second, more than 0; "auto", "all" or None; see Looks.
        **options: see TrackOptions.

    Raises:
        InvalidRequestParameter: a word or a number that means nothing.
    """
    if isinstance(detect_fps, str):
        if detect_fps not in (DETECT_FPS_AUTO, ALL_FRAMES):
            raise InvalidRequestParameter(
                f"detect_fps is {detect_fps!r}, expected a number, {DETECT_FPS_AUTO!r} or"
                f" {ALL_FRAMES!r}"
            )
    elif detect_fps is not None and not 0 < detect_fps < math.inf:
        raise InvalidRequestParameter(f"detect_fps is {detect_fps}, expected more than 0")
    given: list[tuple[str, str | int]] = []
    for name in TRACK_PARAMETERS:
        value = options.get(name)
        if value is None:
            continue
        if name in _LEAST:
            least = _LEAST[name]
            fits = least <= value < math.inf and value == int(value)
            _check(name, value, fits, f"a whole number from {least}")
            given.append((name, int(value)))
        else:
            _check(name, value, 0 <= value <= 1, "0 to 1")
            given.append((name, _text(value)))
    return Looks(detect_fps, tuple(given))


def _text(value: float) -> str:
    """Return a number without an exponent; not every Triton knows floating-point parameters."""
    return f"{value:.6f}".rstrip("0").rstrip(".")


def _check(name: str, value: float, fits: bool, expected: str) -> None:
    if not fits:
        raise InvalidRequestParameter(f"{name} is {value}, expected {expected}")
