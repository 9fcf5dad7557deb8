"""A float32 network quantised to int8 by what it computes for some images."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from builder.detectors.frame_shapes import Framing
from builder.detectors.heads import Placement
from builder.errors import PrecisionError
from builder.pipelines.manifest import Manifest
from builder.pipelines.model_configs import NETWORK_FILE
from builder.pipelines.repository import SETTINGS_FILE
from builder.settings import Runtime, Shape
from builder.surgery.int8_layers import Int8Layers, int8_layers
from builder.surgery.quantize import to_int8
from builder.surgery.unused import remove_unused
from builder.verification.images import image_files
from thin_client.contract import model_names

# More change the largest numbers little and take longer.
MOST_IMAGES = 128
EXTRA = ("cv2", "onnxruntime")


def check_calibration_installed() -> None:
    """Check that a network can be run and images decoded.

    Raises:
        PrecisionError: a package is not installed.
    """
    missing = [name for name in EXTRA if importlib.util.find_spec(name) is None]
    if missing:
        raise PrecisionError(
            f"--precision int8 runs the network on images, for which this Python has no "
            f"{' and no '.join(missing)}: pip install 'framewire[int8]'"
        )


def calibration_files(images: Sequence[str]) -> list[Path]:
    """Return the images to calibrate with, at most :data:`MOST_IMAGES`, evenly spread.

    Args:
        images: files, folders or patterns.

    Raises:
        VerificationError: there are none.
    """
    files = image_files(images)
    if len(files) <= MOST_IMAGES:
        return list(files)
    return [files[index * len(files) // MOST_IMAGES] for index in range(MOST_IMAGES)]


def int8_network(
    network: onnx.ModelProto,
    files: Sequence[Path],
    framing: Framing,
    runtime: Runtime,
) -> onnx.ModelProto:
    """Return a network step in int8; the same images make the same file.

    Args:
        network: the step in float32: uint8 frames ``[n, height, width, 3]`` in.
        files: images like those that will be served.
        framing: how images become frames.
        runtime: that will compute it.

    Raises:
        PrecisionError: an image is none, or the network has no layers for it.
    """
    model = onnx.ModelProto()
    model.CopyFrom(network)
    layers = int8_layers(model)
    if not layers.convolutions:
        raise PrecisionError(
            "the network has no convolutions with constant weights between its first and its head, "
            "so nothing of it can be int8: leave --precision int8 out"
        )
    largest = _largest(model, layers, (_frame(file, framing) for file in files))
    to_int8(model, layers, largest, unsigned=runtime is Runtime.PYTHON)
    remove_unused(model)
    onnx.checker.check_model(model)
    return model


def int8_of_version(
    repository: Path, manifest: Manifest, files: Sequence[Path], folder: Path
) -> Path:
    """Write the network of a version, built in float32, in int8 for its runtime; return the file.

    Args:
        repository: that holds it.
        manifest: of the version.
        files: images like those that are served.
        folder: to write into.

    Raises:
        PrecisionError: what it takes is not installed, an image is none, or the network has no
            layers for it.
    """
    check_calibration_installed()
    names, version = model_names(manifest.name), str(manifest.version)
    settings = json.loads((repository / names.preprocess / version / SETTINGS_FILE).read_text())
    network = onnx.load(repository / names.network / version / NETWORK_FILE)
    rectangles = manifest.shape is Shape.RECT
    framing = Framing(
        manifest.width,
        manifest.height,
        Placement(settings["placement"]),
        stride=int(settings["stride"]) if rectangles else None,
        least_side=int(settings["least_side"]) if rectangles else 0,
    )
    int8_file = folder / f"int8_{NETWORK_FILE}"
    onnx.save(int8_network(network, files, framing, manifest.runtime), int8_file)
    return int8_file


def _frame(file: Path, framing: Framing) -> NDArray[Any]:
    # Needs OpenCV, which a build without calibration does not.
    from builder.verification.source_image import decode, place  # noqa: PLC0415

    try:
        picture = decode(file.read_bytes())
    except OSError as error:
        raise PrecisionError(
            f"the image {file} cannot be read ({error.strerror}): check its name"
        ) from error
    if picture is None:
        raise PrecisionError(
            f"{file.name} is no picture that OpenCV reads: leave it out of --calibrate"
        )
    return place(picture, framing).frame[None]


def _largest(
    model: onnx.ModelProto, layers: Int8Layers, frames: Iterable[NDArray[Any]]
) -> Mapping[str, float]:
    """Return the largest magnitude that each tensor had in any frame."""
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    names = [name for group in layers.groups for name in group]
    outputs = []
    for number, name in enumerate(names):
        magnitude, largest = f"framewire_magnitude/{number}", f"framewire_largest/{number}"
        watched.graph.node.append(helper.make_node("Abs", [name], [magnitude]))
        watched.graph.node.append(helper.make_node("ReduceMax", [magnitude], [largest], keepdims=0))
        value = helper.make_tensor_value_info(largest, TensorProto.FLOAT, [])
        watched.graph.output.append(value)
        outputs.append(largest)
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime  # noqa: PLC0415 - only where it is asked for

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        watched.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    seen = [session.run(outputs, {session.get_inputs()[0].name: frame}) for frame in frames]
    return dict(zip(names, np.max(np.array(seen, np.float32), axis=0).tolist(), strict=True))
