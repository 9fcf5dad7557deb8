"""What is handed on of a packet: to the detect step, and past it to the client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from contract import (
    FRAME,
    FRAME_INDEX,
    FRAME_TIMESTAMP,
    GEOMETRY,
    IMAGE_SIZE,
    IMAGE_STATUS,
    LOOKED_AT,
    STREAM_FRAME,
    TRACKING,
    ImageStatus,
    Tensor,
)

from looks import DEFAULT_TRACKING
from stream_frames import Note, StreamFrame

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from packets import PacketRequest
    from stream import PacketAnswer, Stream

LOST = frozenset({ImageStatus.WAITING_FOR_KEY_FRAME, ImageStatus.CORRUPT_PACKET})


class PacketTensors(NamedTuple):
    """Tensors, with their batch dimension of 1, and the status that they bear."""

    tensors: dict[Tensor, NDArray[Any]]
    status: ImageStatus


def packet_tensors(
    answer: PacketAnswer, stream: Stream, packet: PacketRequest, *, tracked: bool
) -> PacketTensors:
    """Return the tensors of a packet, all but its ticket."""
    status = answer.status
    if answer.has_frame and not answer.look and not tracked:
        status = ImageStatus.NOT_LOOKED_AT
    notes = Note(0)
    for note, holds in (
        (Note.FRAME, answer.has_frame),
        (Note.LOOK, answer.look),
        # An empty packet, which asks for what is held back, is no loss.
        (Note.LOST, status in LOST and bool(packet.data)),
        (Note.CHOSEN, stream.looks.chosen),
        (Note.WANTS, stream.looks.wants),
        (Note.REFUSED, answer.has_frame and stream.looks.refused),
        (Note.TRACKED, tracked),
        (Note.END, packet.end),
    ):
        if holds:
            notes |= note
    width, height = answer.size
    frame = StreamFrame(
        stream.serial,
        stream.looks.place,
        notes,
        stream.looks.taken,
        width,
        height,
        answer.timestamp,
    )
    tracking = stream.looks.settings.tracking or DEFAULT_TRACKING
    tensors: dict[Tensor, NDArray[Any]] = {
        FRAME: answer.frame[None],
        GEOMETRY: answer.geometry[None],
        STREAM_FRAME: frame.to_array()[None],
        TRACKING: np.array([tracking], np.float32),
        IMAGE_STATUS: np.array([[status]], np.int32),
        IMAGE_SIZE: np.array([answer.size], np.int32),
        FRAME_INDEX: np.array([[answer.index]], np.int64),
        FRAME_TIMESTAMP: np.array([[answer.timestamp]], np.int64),
        LOOKED_AT: np.array([[answer.look]], np.int32),
    }
    return PacketTensors(tensors, status)
