"""What a packet's request says: whose it is, where in the stream, and how it is encoded."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import triton_python_backend_utils as pb_utils
from contract import PACKET, Codec

from looks import EVERY_FRAME, LookSettings, read_looks
from orientation import UPRIGHT, Orientation, read_orientation
from refusals import NO_TIMESTAMP, RefusedPacketError, StreamId
from request_parameters import BadParameterError, damaged_parameter, shown
from triton_requests import image_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from contract import DamagedImages


@dataclass(frozen=True)
class PacketRequest:
    """One packet.

    Attributes:
        stream: that it belongs to.
        data: of the packet.
        start: whether the stream begins with it.
        end: whether the stream ends with it.
        codec: of the stream; None where the packet does not begin one.
        timestamp: of its frame in microseconds, or -1.
        damaged: what becomes of a damaged JPEG; None leaves it to the pipeline.
        orientation: of the stream's frames; upright where the packet does not begin one.
        looks: which of them the network is to see; of no meaning where it does not begin one.
    """

    stream: StreamId
    data: bytes
    start: bool
    end: bool
    codec: Codec | None
    timestamp: int
    damaged: DamagedImages | None = None
    orientation: Orientation = UPRIGHT
    looks: LookSettings = EVERY_FRAME


def read_packet(request: Any, max_bytes: int) -> PacketRequest:
    """Read a request of Triton's.

    Raises:
        RefusedPacketError: it is larger than ``max_bytes``, or a parameter is wrong.
    """
    (data,) = image_bytes(request, PACKET)
    if len(data) > max_bytes:
        raise RefusedPacketError(
            f"the packet has {len(data)} bytes where at most {max_bytes} are allowed"
        )
    flags = request.flags()
    start = bool(flags & pb_utils.TRITONSERVER_REQUEST_FLAG_SEQUENCE_START)
    parameters = json.loads(request.parameters() or "{}")
    codec = _codec(parameters) if start else None
    return PacketRequest(
        stream=request.correlation_id(),
        data=data,
        start=start,
        end=bool(flags & pb_utils.TRITONSERVER_REQUEST_FLAG_SEQUENCE_END),
        codec=codec,
        timestamp=_timestamp(parameters),
        damaged=_damaged(parameters),
        orientation=UPRIGHT if codec is None else read_orientation(parameters, codec),
        looks=EVERY_FRAME if codec is None else read_looks(parameters),
    )


def _codec(parameters: Mapping[str, Any]) -> Codec:
    named = parameters.get("codec", "nothing")
    try:
        return Codec(named)
    except ValueError:
        known = ", ".join(codec.value for codec in Codec)
        raise RefusedPacketError(
            f"parameter codec must be one of {known} at the start of a stream, got {shown(named)}"
        ) from None


def _damaged(parameters: Mapping[str, Any]) -> DamagedImages | None:
    try:
        return damaged_parameter(parameters)
    except BadParameterError as error:
        raise RefusedPacketError(str(error)) from None


def _timestamp(parameters: Mapping[str, Any]) -> int:
    value = parameters.get("timestamp", NO_TIMESTAMP)
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        number = NO_TIMESTAMP - 1
    if isinstance(value, bool | float) or not NO_TIMESTAMP <= number < 2**63:
        raise RefusedPacketError(
            f"parameter timestamp must be a whole number of microseconds from 0, got {shown(value)}"
        )
    return number
