"""What can go wrong, each exception named by its diagnosis.

    FramewireError
    ├── ServerUnreachable            nothing that speaks gRPC answers at the address
    ├── AccessDenied                 the server, or a proxy before it, wants other credentials
    ├── ServerOverloaded             refused for now: the server's queues are full
    ├── ServerFailed                 the server broke while it answered
    ├── DeadlineExceeded             no answer in time (also a TimeoutError)
    ├── PipelineNotFound             the server has no pipeline of that name
    ├── AmbiguousPipeline            the server has several, and none was named
    ├── PipelineNotReady             the pipeline is still loading, or the server is stopping
    ├── ContractMismatch             pipeline and client speak different contracts
    │   └── NotAPipeline             the model was not built by Framewire
    ├── RequestRefused               the server understood the request and refused it
    │   ├── BadImage                 the image cannot be read
    │   └── InvalidRequestParameter  a request parameter has no usable value (also a ValueError)
    ├── InvalidConnection            an address or TLS option that cannot work (also a ValueError)
    ├── DetectorClosed               used after close()
    ├── SourceUnreadable             a file, video or camera that cannot be read
    ├── OutputUnwritable             an annotated picture or video that cannot be written
    ├── OpenCVMissing                drawing or video without OpenCV (also an ImportError)
    ├── PyAVMissing                  streaming without PyAV (also an ImportError)
    └── SupervisionMissing           to_supervision without it (also an ImportError)

Every message is one sentence for a person: what failed, what was found, what to do about it.
"""

# The names are diagnoses; an Error suffix would say it twice.
# ruff: noqa: N818

from __future__ import annotations

from thin_client.contract import ImageStatus
from thin_client.redaction import without_secrets

__all__ = [
    "AccessDenied",
    "AmbiguousPipeline",
    "BadImage",
    "ContractMismatch",
    "DeadlineExceeded",
    "DetectorClosed",
    "FramewireError",
    "InvalidConnection",
    "InvalidRequestParameter",
    "NotAPipeline",
    "OpenCVMissing",
    "OutputUnwritable",
    "PipelineNotFound",
    "PipelineNotReady",
    "PyAVMissing",
    "RequestRefused",
    "ServerFailed",
    "ServerOverloaded",
    "ServerUnreachable",
    "SourceUnreadable",
    "SupervisionMissing",
]


class FramewireError(Exception):
    """Any failure that this package reports; passwords of addresses are left out of its message."""

    def __init__(self, *details: object) -> None:
        super().__init__(
            *(without_secrets(each) if isinstance(each, str) else each for each in details)
        )


class ServerUnreachable(FramewireError):
    """Nothing that speaks gRPC answers at the address."""


class AccessDenied(FramewireError):
    """The server, or a proxy before it, wants other credentials."""


class ServerOverloaded(FramewireError):
    """The server refused for now, after every retry, because its queues are full."""


class ServerFailed(FramewireError):
    """The server broke while it answered."""


class DeadlineExceeded(FramewireError, TimeoutError):
    """No answer came in time, all retries included."""


class PipelineNotFound(FramewireError):
    """The server has no pipeline of that name."""


class AmbiguousPipeline(FramewireError):
    """The server has several pipelines and the caller named none."""


class PipelineNotReady(FramewireError):
    """The pipeline is still loading, or the server is stopping."""


class ContractMismatch(FramewireError):
    """The pipeline and this client speak different contracts."""


class NotAPipeline(ContractMismatch):
    """The model exists but was not built by Framewire."""


class RequestRefused(FramewireError):
    """The server understood the request and refused it."""


class BadImage(RequestRefused):
    """The image cannot be read.

    Attributes:
        status: why, as the contract counts it; never ``ImageStatus.OK``.
    """

    def __init__(self, message: str, status: ImageStatus = ImageStatus.CORRUPT) -> None:
        super().__init__(message)
        self.status = status


class InvalidRequestParameter(RequestRefused, ValueError):
    """One of conf, iou, max_det, classes and class_agnostic has a value that cannot be used."""


class InvalidConnection(FramewireError, ValueError):
    """An address or a TLS option that cannot work."""


class DetectorClosed(FramewireError):
    """The detector was used after it had been closed."""


class SourceUnreadable(FramewireError):
    """A file, a video or a camera that cannot be read."""


class OutputUnwritable(FramewireError):
    """An annotated picture or video that cannot be written."""


class OpenCVMissing(FramewireError, ImportError):
    """Drawing and video need OpenCV, which is not installed."""


class PyAVMissing(FramewireError, ImportError):
    """Streaming needs PyAV, which is not installed or lacks an encoder."""


class SupervisionMissing(FramewireError, ImportError):
    """``Detections.to_supervision`` needs supervision, which is not installed."""
