"""``--runtime auto``: what runs the network where the pipeline is built."""

from __future__ import annotations

from pathlib import Path

from builder.settings import Runtime

# Where NVIDIA's images of Triton keep their backends.
CONTAINER_BACKENDS = Path("/opt/tritonserver/backends")
GPU_DEVICES = Path("/dev")
GPU_DEVICE_PATTERN = "nvidia[0-9]*"


def choose_runtime(backends: Path = CONTAINER_BACKENDS, devices: Path = GPU_DEVICES) -> Runtime:
    """Return the fastest runtime that serves on this machine.

    Inside NVIDIA's container a GPU's TensorRT, without a GPU its ONNX Runtime; elsewhere the
    embedded server, which has the Python backend only.

    Args:
        backends: folder of Triton's backends.
        devices: folder in which GPUs appear as devices.
    """
    if (backends / "tensorrt").is_dir() and any(devices.glob(GPU_DEVICE_PATTERN)):
        return Runtime.TENSORRT
    if (backends / "onnxruntime").is_dir():
        return Runtime.ONNXRUNTIME
    return Runtime.PYTHON
