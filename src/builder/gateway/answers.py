"""What the gateway answers: JSON, one answer to a frame, a word and a sentence when it failed."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

from builder.gateway.frames import FrameId
from thin_client.contract import ImageStatus
from thin_client.detections import Detections
from thin_client.errors import (
    AccessDenied,
    BadImage,
    DeadlineExceeded,
    DetectorClosed,
    FramewireError,
    InvalidRequestParameter,
    PipelineNotReady,
    RequestRefused,
    ServerFailed,
    ServerOverloaded,
    ServerUnreachable,
)
from thin_client.streaming.packets import Answer, has_frame

# A word for programs, the status of HTTP, and a sentence for a stranger: what the client's own
# errors say of addresses and credentials behind the gateway is for its log alone. None: the error's
# sentence is about what was sent, and told.
_Meaning = tuple[str, HTTPStatus, str | None]
_MEANINGS: tuple[tuple[type[FramewireError], _Meaning], ...] = (
    (InvalidRequestParameter, ("invalid_parameter", HTTPStatus.BAD_REQUEST, None)),
    (RequestRefused, ("refused", HTTPStatus.BAD_REQUEST, None)),
    (
        ServerOverloaded,
        (
            "overloaded",
            HTTPStatus.SERVICE_UNAVAILABLE,
            "the detection server is overloaded; send fewer frames, or try again shortly",
        ),
    ),
    (
        ServerUnreachable,
        (
            "unreachable",
            HTTPStatus.SERVICE_UNAVAILABLE,
            "the gateway cannot reach its detection server; try again shortly",
        ),
    ),
    (
        PipelineNotReady,
        (
            "not_ready",
            HTTPStatus.SERVICE_UNAVAILABLE,
            "the detection server is not ready; try again shortly",
        ),
    ),
    (
        DetectorClosed,
        (
            "not_ready",
            HTTPStatus.SERVICE_UNAVAILABLE,
            "the gateway lost its detection server; try again shortly",
        ),
    ),
    (
        DeadlineExceeded,
        (
            "deadline",
            HTTPStatus.GATEWAY_TIMEOUT,
            "the detection server did not answer in time; send fewer frames, or smaller ones",
        ),
    ),
    (
        ServerFailed,
        (
            "failed",
            HTTPStatus.BAD_GATEWAY,
            "the detection server failed to answer; its log says why",
        ),
    ),
    (
        AccessDenied,
        (
            "misconfigured",
            HTTPStatus.BAD_GATEWAY,
            "the detection server denies the gateway access; the gateway's log says more",
        ),
    ),
    (
        FramewireError,
        (
            "misconfigured",
            HTTPStatus.BAD_GATEWAY,
            "the gateway has no pipeline that it can use; its log says why",
        ),
    ),
)


def meaning(error: FramewireError) -> tuple[str, HTTPStatus, str]:
    """Return an error's word, HTTP status and sentence, as a stranger may see them."""
    if isinstance(error, BadImage):
        return error.status.name.lower(), HTTPStatus.UNPROCESSABLE_ENTITY, str(error)
    word, status, sentence = next(what for kind, what in _MEANINGS if isinstance(error, kind))
    return word, status, sentence or str(error)


def blames_upstream(error: FramewireError) -> bool:
    """Return whether the fault lies behind the gateway and belongs into its log."""
    return not isinstance(error, RequestRefused)


def detected(detections: Detections) -> dict[str, Any]:
    """Return the answer to an image, or to a frame of video."""
    if detections.status is ImageStatus.NOT_LOOKED_AT:
        # No error, and nothing that could be taken for a frame in which there is nothing.
        return {"status": detections.status.name.lower()}
    if detections.error is not None:
        return {"status": detections.status.name.lower(), "error": detections.error}
    found = detections.to_dict()
    # Its status says it here.
    found.pop("damaged", None)
    return {"status": detections.status.name.lower(), **found}


def of_packet(answer: Answer) -> dict[str, Any]:
    """Return the answer to a packet of video; which frame it is about stands in it."""
    found = detected(answer.detections)
    if has_frame(answer):
        found["looked_at"] = answer.looked_at
    if answer.frame_index >= 0:
        found["frame_index"] = answer.frame_index
    if answer.timestamp_us >= 0:
        found["timestamp"] = answer.timestamp_us
    return found


def failed(error: FramewireError) -> dict[str, Any]:
    """Return the answer to a frame that got no detections."""
    word, _, sentence = meaning(error)
    return {"status": word, "error": sentence}


def to_text(frame_id: FrameId, answer: dict[str, Any], took_s: float) -> str:
    """Return an answer as it goes over a WebSocket; ``ms`` is what the gateway waited for it."""
    whole = {"id": frame_id, **answer, "ms": round(took_s * 1e3, 1)}
    return json.dumps(whole, separators=(",", ":"))
