"""Which tensors of the contract the steps of a pipeline pass on."""

from __future__ import annotations

from thin_client.contract import (
    CANDIDATES,
    FRAME,
    FRAME_INDEX,
    FRAME_TIMESTAMP,
    GEOMETRY,
    IMAGE_SIZE,
    IMAGE_STATUS,
    LOOKED_AT,
    PIPELINE_OUTPUTS,
    STREAM_FRAME,
    TICKET,
    TRACK_IDS,
    TRACKING,
)

# What an image is like, the preprocess step knows; what is in it, the postprocess step.
PREPROCESS_OUTPUTS = (FRAME, GEOMETRY, TICKET, IMAGE_STATUS, IMAGE_SIZE)
POSTPROCESS_INPUTS = (CANDIDATES, GEOMETRY, TICKET)
DETECTIONS = tuple(tensor for tensor in PIPELINE_OUTPUTS if tensor not in PREPROCESS_OUTPUTS)
DECODE_OUTPUTS = (
    *PREPROCESS_OUTPUTS,
    STREAM_FRAME,
    TRACKING,
    FRAME_INDEX,
    FRAME_TIMESTAMP,
    LOOKED_AT,
)
DETECT_INPUTS = (FRAME, GEOMETRY, TICKET, STREAM_FRAME, TRACKING)
DETECT_OUTPUTS = (*DETECTIONS, TRACK_IDS)
