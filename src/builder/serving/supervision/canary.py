"""A tiny image that is sent through a pipeline to see whether it answers.

Over HTTP on this machine, which needs no certificates where gRPC is served with TLS.
"""

from __future__ import annotations

import base64
import enum
import json
import secrets
import struct
import threading
import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from builder.serving.local_triton import LocalTriton
from thin_client.contract import IMAGE, NUM_DETS, PACKET, Codec

# A JPEG of 320 x 16 pixels, a gradient: every pipeline takes it, and every stream as a key frame.
# As it is, because what could encode one is not installed where pipelines are only served. So wide,
# because its smallest rectangle is a strip, where that of a square is the largest frame.
CANARY_IMAGE = base64.b64decode(
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDABALDA4MChAODQ4SERATGCgaGBYWGDEjJR0oOjM9PDkzODdASFxOQERXRTc4U"
    "G1RV19iZ2hnPk1xeXBkeFxlZ2P/2wBDARESEhgVGC8aGi9jQjhCY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2"
    "NjY2NjY2NjY2NjY2NjY2NjY2P/wAARCAAQAUADASIAAhEBAxEB/8QAFgABAQEAAAAAAAAAAAAAAAAABgEA/8QAGBAAAwE"
    "BAAAAAAAAAAAAAAAAABRhAQT/xAAXAQEBAQEAAAAAAAAAAAAAAAACAQQF/8QAGBEAAgMAAAAAAAAAAAAAAAAAAAEEFGH/"
    "2gAMAwEAAhEDEQA/ADCEKhBOhC5wQ1WzhKdoYQhUIJ0IVCEtjU7QwhCoQToQqEJbGp2hhCFQgnQhUIS2NTtDCEKhBOhCo"
    "QlsanaGEIVCCdCFQhLY1O0MIQqEEyEKhCWxqdoZQhkIJ0IVCEtjU7QwhCoQToQqEJbGp2hhCFQgnQhUIS2NTtDCEKhBOh"
    "CoQlsanaGEIVCCdCFQhLY1O0MIQqEE6EKhCWxqdoYzghUIJ0IVCEtjU7QwhCoQToQqEJbGp2hhCFQgnQhUIS2NTtDCEKh"
    "BOhC5wQlsanaGEIVCCdCGQhLY1O0MoQyEE+cEKhCWxqdoYQhUIJ0IVCBtjU7T/9k="
)
# In traces and in the logs of models.
CANARY_ID = "framewire-canary"
# Nobody waits longer than this for one; long before, it was told that it is late.
GIVEN_UP_S = 120
# How Triton says that nothing is loaded under a name.
NOT_LOADED = ("unknown model", "no available versions", "is not ready", "has no loaded version")


class Outcome(enum.Enum):
    """What became of a canary."""

    ANSWERED = enum.auto()
    """The model answered, be it that it wants no such image."""
    BUSY = enum.auto()
    """It was refused: there is no room in a queue, or for another stream."""
    NOT_LOADED = enum.auto()
    FAILED = enum.auto()
    """The model, or a step of its pipeline, has an error of its own."""
    UNANSWERED = enum.auto()
    """The connection broke, or there was none."""
    NOT_SENT = enum.auto()
    """There was no thread to be had, which says nothing about the model."""


@dataclass(frozen=True)
class Answer:
    """The end of a canary.

    Attributes:
        outcome: of it.
        took_s: from sending it.
    """

    outcome: Outcome
    took_s: float


class Canary:
    """One canary on its way, in a thread of its own.

    Args:
        triton: to send it to.
        model: that clients call.
        stream: whether the model takes packets of streams.
    """

    def __init__(self, triton: LocalTriton, model: str, *, stream: bool) -> None:
        self.sent_at = time.monotonic()
        self.answer: Answer | None = None
        self._thread = threading.Thread(
            target=self._send, args=(triton, model, stream), name="canary", daemon=True
        )
        try:
            self._thread.start()
        except RuntimeError:  # a limit on processes or on memory
            self.answer = Answer(Outcome.NOT_SENT, 0.0)

    def _send(self, triton: LocalTriton, model: str, stream: bool) -> None:
        header, data = _stream_request() if stream else _image_request()
        reply = triton.infer(model, header, data, GIVEN_UP_S)
        outcome = Outcome.UNANSWERED if reply is None else _outcome(*reply)
        self.answer = Answer(outcome, time.monotonic() - self.sent_at)


def _image_request() -> tuple[dict[str, Any], bytes]:
    return _request(IMAGE.name, {})


def _stream_request() -> tuple[dict[str, Any], bytes]:
    """A stream of one packet: it is gone when it is answered."""
    sequence = {
        # What clients choose is as unlikely to be the same as any two of theirs.
        "sequence_id": secrets.randbits(62) | 1 << 62,
        "sequence_start": True,
        "sequence_end": True,
        "codec": Codec.MJPEG.value,
    }
    return _request(PACKET.name, sequence)


def _request(tensor: str, parameters: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    # Triton's binary extension of KServe's HTTP: BYTES are their length and themselves.
    data = struct.pack("<I", len(CANARY_IMAGE)) + CANARY_IMAGE
    given = {
        "name": tensor,
        "datatype": "BYTES",
        "shape": [1, 1],
        "parameters": {"binary_data_size": len(data)},
    }
    wanted = {"name": NUM_DETS.name}
    header = {"id": CANARY_ID, "inputs": [given], "outputs": [wanted], "parameters": parameters}
    return header, data


def _outcome(status: int, text: bytes) -> Outcome:
    if status == HTTPStatus.OK:
        return Outcome.ANSWERED
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        return Outcome.BUSY
    try:
        sentence = str(json.loads(text).get("error", ""))
    except (ValueError, AttributeError):
        sentence = ""
    if status == HTTPStatus.NOT_FOUND or any(part in sentence for part in NOT_LOADED):
        return Outcome.NOT_LOADED
    if HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR:
        return Outcome.ANSWERED
    return Outcome.FAILED
