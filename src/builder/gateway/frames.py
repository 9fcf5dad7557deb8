"""What a client sends: a frame with, before it, one line of JSON where it has something to say.

A binary message is an image as it is, or ``{"id": 7, "conf": 0.4}``, a line feed and the image. No
image and no video packet begins with ``{``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from thin_client.contract import (
    DETECT_FPS,
    DETECT_FPS_AUTO,
    OPTIONAL_PARAMETERS,
    REQUEST_PARAMETERS,
    ROTATIONS,
    TRACK_PARAMETERS,
    Codec,
    DamagedImages,
)
from thin_client.errors import InvalidRequestParameter
from thin_client.parameters import RequestParameters
from thin_client.streaming.looks import ALL_FRAMES, EVERY_FRAME, Looks, looks_from
from thin_client.streaming.orientation import UPRIGHT, Orientation

MAX_HEADER_BYTES = 4096
MAX_ID_CHARACTERS = 64
MAX_WHOLE = 2**31 - 1
TIMESTAMP = "timestamp"
# RFC 6455, 5.5: a control frame has 125 bytes, two of them the code.
MAX_REASON_BYTES = 123
CODECS = tuple(codec.value for codec in Codec)

# Close codes of RFC 6455, 7.4.1, and of the registry it begins (1012, 1013).
CLOSE_UNSUPPORTED_DATA = 1003
CLOSE_INVALID_PAYLOAD = 1007

FrameId = int | str


class ProtocolMisuse(Exception):  # noqa: N818 - named by its diagnosis, like the client's
    """A client does not speak the gateway's protocol; its connection is closed.

    Attributes:
        code: of the WebSocket's close.
    """

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


@dataclass(frozen=True)
class Frame:
    """One message of a client.

    Attributes:
        frame_id: what its answer is called.
        image: one encoded image or video packet, untouched.
        parameters: what it asks for differently from the pipeline's defaults.
        timestamp_us: of a video packet, microseconds; None when it has none.
        refusal: why it cannot be detected in; None when it can.
    """

    frame_id: FrameId
    image: bytes
    parameters: RequestParameters = field(default_factory=RequestParameters)
    timestamp_us: int | None = None
    refusal: InvalidRequestParameter | None = None


def read_frame(message: bytes, position: int) -> Frame:
    """Return the frame in a binary message.

    Args:
        message: as it came.
        position: how many messages came before it, which is its name when it has no ``id``.

    Raises:
        ProtocolMisuse: it begins like a header and is none, or its ``id`` cannot be one.
    """
    if not message.startswith(b"{"):
        return Frame(position, message)
    line, separator, image = message[: MAX_HEADER_BYTES + 1].partition(b"\n")
    if not separator:
        raise ProtocolMisuse(
            CLOSE_INVALID_PAYLOAD,
            f"a header is one line of JSON of at most {MAX_HEADER_BYTES} bytes before the image",
        )
    header = _header(line)
    frame_id = header.pop("id", position)
    if not _usable_id(frame_id):
        raise ProtocolMisuse(
            CLOSE_INVALID_PAYLOAD,
            f"an id is a whole number or at most {MAX_ID_CHARACTERS} characters",
        )
    image = message[len(line) + 1 :]
    try:
        timestamp_us = _timestamp(header.pop(TIMESTAMP, None))
        return Frame(frame_id, image, parameters_from_json(header), timestamp_us)
    except InvalidRequestParameter as error:
        return Frame(frame_id, image, refusal=error)


def parameters_from_json(values: Mapping[str, Any]) -> RequestParameters:
    """Return request parameters whose types have been checked; ranges are the pipeline's to check.

    Raises:
        InvalidRequestParameter: one is unknown or of another type.
    """
    parameters = RequestParameters()
    for name, value in values.items():
        if name not in REQUEST_PARAMETERS + OPTIONAL_PARAMETERS:
            known = ", ".join(REQUEST_PARAMETERS + OPTIONAL_PARAMETERS)
            raise InvalidRequestParameter(
                f"there is no parameter {name[:MAX_ID_CHARACTERS]!r}; there are {known}"
            )
        if value is None:
            continue
        if name in ("conf", "iou"):
            parameters[name] = _number(name, value)  # type: ignore[literal-required]
        elif name == "max_det":
            parameters["max_det"] = _whole(name, value)
        elif name == "classes":
            parameters["classes"] = _classes(value)
        elif name == "damaged":
            parameters["damaged"] = _damaged(value)
        elif isinstance(value, bool):
            parameters["class_agnostic"] = value
        else:
            _refuse(name, "true or false", value)
    return parameters


def parameters_from_query(query: Mapping[str, str]) -> RequestParameters:
    """Return the request parameters of a URL: ``conf=0.4&classes=0,2&class_agnostic=true``.

    Raises:
        InvalidRequestParameter: one is unknown or cannot be read.
    """
    return parameters_from_json({name: _from_text(name, text) for name, text in query.items()})


@dataclass(frozen=True)
class StreamQuery:
    """What a connection says of its packets.

    Attributes:
        codec: of all of them.
        orientation: how frames have to be turned to be upright.
        looks: how often the network looks at them, and how they are tracked.
    """

    codec: Codec
    orientation: Orientation = UPRIGHT
    looks: Looks = EVERY_FRAME


def stream_from_query(query: Mapping[str, str]) -> StreamQuery | None:
    """Return what a connection's packets are, ``codec=h264&rotation=90&mirror=true``; None: images.

    Raises:
        ProtocolMisuse: it names what there is not.
    """
    codec, rotation = query.get("codec"), query.get("rotation", "0")
    mirror = query.get("mirror", "false")
    if codec is not None and codec not in CODECS:
        raise ProtocolMisuse(
            CLOSE_UNSUPPORTED_DATA, f"the codecs are {', '.join(CODECS)}; none sends images"
        )
    if rotation not in map(str, ROTATIONS) or mirror not in ("true", "false"):
        known = ", ".join(map(str, ROTATIONS))
        raise ProtocolMisuse(
            CLOSE_UNSUPPORTED_DATA, f"rotation is one of {known} and mirror true or false"
        )
    orientation = Orientation(int(rotation), mirror == "true")
    if orientation != UPRIGHT and codec not in (Codec.H264.value, Codec.H265.value):
        raise ProtocolMisuse(
            CLOSE_UNSUPPORTED_DATA, "rotation and mirror are of h264 and h265; images have EXIF"
        )
    looks = _looks_from_query(query)
    if codec is None and looks != EVERY_FRAME:
        raise ProtocolMisuse(
            CLOSE_UNSUPPORTED_DATA, "looks and tracks are those of a stream: name its codec"
        )
    return None if codec is None else StreamQuery(Codec(codec), orientation, looks)


def _looks_from_query(query: Mapping[str, str]) -> Looks:
    detect_fps: float | str = query.get(DETECT_FPS, ALL_FRAMES)
    options = {name: query[name] for name in TRACK_PARAMETERS if name in query}
    try:
        if detect_fps not in (DETECT_FPS_AUTO, ALL_FRAMES):
            detect_fps = float(detect_fps)
        return looks_from(detect_fps, **{name: float(text) for name, text in options.items()})
    except ValueError as error:
        # One of numbers says nothing to a stranger.
        said = (
            str(error)
            if isinstance(error, InvalidRequestParameter)
            else (
                f"{DETECT_FPS} is a number, {DETECT_FPS_AUTO} or {ALL_FRAMES}, and"
                f" {', '.join(TRACK_PARAMETERS)} are numbers"
            )
        )
        raise ProtocolMisuse(CLOSE_UNSUPPORTED_DATA, said[:MAX_REASON_BYTES]) from error


def _header(line: bytes) -> dict[str, Any]:
    try:
        header = json.loads(line, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise ProtocolMisuse(
            CLOSE_INVALID_PAYLOAD, "the line before the image is not JSON"
        ) from error
    if not isinstance(header, dict):
        raise ProtocolMisuse(CLOSE_INVALID_PAYLOAD, "the line before the image is no JSON object")
    return header


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _usable_id(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) <= MAX_ID_CHARACTERS
    # JavaScript's numbers end there, and its JSON gives back what it got only up to there.
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53


def _timestamp(value: Any) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**53:
        _refuse(TIMESTAMP, "microseconds as a whole number", value)
    return int(value)


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        _refuse(name, "a number", value)
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        _refuse(name, "a number", value)
    return number


def _whole(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > MAX_WHOLE:
        _refuse(name, "a whole number", value)
    return int(value)


def _classes(value: Any) -> list[int | str]:
    if not isinstance(value, list) or not all(map(_names_class, value)):
        _refuse("classes", "a list of names or numbers", value)
    return list(value)


def _names_class(value: Any) -> bool:
    if isinstance(value, int) and not isinstance(value, bool):
        return abs(value) <= MAX_WHOLE
    return isinstance(value, str)


def _damaged(value: Any) -> str:
    known = [each.value for each in DamagedImages]
    if value not in known:
        _refuse("damaged", " or ".join(known), value)
    return str(value)


def _from_text(name: str, text: str) -> Any:
    if name == "classes":
        return text.split(",")
    if name == "class_agnostic":
        return {"true": True, "false": False}.get(text, text)
    if name == "damaged":
        return text
    try:
        return int(text) if name == "max_det" else float(text)
    except ValueError:
        return text


def _refuse(name: str, expected: str, value: Any) -> NoReturn:
    shown = json.dumps(value)[:MAX_ID_CHARACTERS]
    raise InvalidRequestParameter(f"{name} must be {expected}, got {shown}")
