"""Framewire's thin client: encoded images in, boxes out.

    from thin_client import Detector

    with Detector("localhost:8001", "codes") as detector:
        for detection in detector.detect(jpeg_bytes):
            print(detection.label, detection.score, detection.box_xyxy)

Importing this package costs next to nothing: each name is loaded when it is first used, so gRPC
comes with the first Detector and OpenCV only with the functions that draw or read video.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from thin_client.async_client import AsyncDetector
    from thin_client.client import Detector
    from thin_client.connection import Connection
    from thin_client.detections import Detection, Detections
    from thin_client.drawing import annotate
    from thin_client.errors import (
        AccessDenied,
        AmbiguousPipeline,
        BadImage,
        ContractMismatch,
        DeadlineExceeded,
        DetectorClosed,
        FramewireError,
        InvalidConnection,
        InvalidRequestParameter,
        NotAPipeline,
        OpenCVMissing,
        OutputUnwritable,
        PipelineNotFound,
        PipelineNotReady,
        PyAVMissing,
        RequestRefused,
        ServerFailed,
        ServerOverloaded,
        ServerUnreachable,
        SourceUnreadable,
        SupervisionMissing,
    )
    from thin_client.parameters import RequestParameters
    from thin_client.pipeline import Pipeline
    from thin_client.retry import RetryPolicy
    from thin_client.server_report import ModelStatistics, ServerReport
    from thin_client.streaming.meter import StreamStatistics
    from thin_client.streaming.stream import StreamResult, VideoStream
    from thin_client.trails import Trails

__version__ = "0.1.0"

__all__ = [
    "AccessDenied",
    "AmbiguousPipeline",
    "AsyncDetector",
    "BadImage",
    "Connection",
    "ContractMismatch",
    "DeadlineExceeded",
    "Detection",
    "Detections",
    "Detector",
    "DetectorClosed",
    "FramewireError",
    "InvalidConnection",
    "InvalidRequestParameter",
    "ModelStatistics",
    "NotAPipeline",
    "OpenCVMissing",
    "OutputUnwritable",
    "Pipeline",
    "PipelineNotFound",
    "PipelineNotReady",
    "PyAVMissing",
    "RequestParameters",
    "RequestRefused",
    "RetryPolicy",
    "ServerFailed",
    "ServerOverloaded",
    "ServerReport",
    "ServerUnreachable",
    "SourceUnreadable",
    "StreamResult",
    "StreamStatistics",
    "SupervisionMissing",
    "Trails",
    "VideoStream",
    "annotate",
]

_MODULE_OF = {
    "AsyncDetector": "async_client",
    "Connection": "connection",
    "Detection": "detections",
    "Detections": "detections",
    "Detector": "client",
    "ModelStatistics": "server_report",
    "Pipeline": "pipeline",
    "RequestParameters": "parameters",
    "RetryPolicy": "retry",
    "ServerReport": "server_report",
    "StreamResult": "streaming.stream",
    "StreamStatistics": "streaming.meter",
    "Trails": "trails",
    "VideoStream": "streaming.stream",
    "annotate": "drawing",
}


def __getattr__(name: str) -> Any:
    """Load a public name from its module when it is first asked for (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_MODULE_OF.get(name, 'errors')}")
    value = getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Return the public names, loaded or not."""
    return sorted({*globals(), *__all__})
