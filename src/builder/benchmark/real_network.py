"""The detector as usual clients have it served: FP32 tensors in, the raw head out."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import onnx
from tritonclient.grpc import model_config_pb2 as pb

from builder.pipelines.config_files import CONFIG_FILE, config_text

MODEL = "usual_network"
INPUT, OUTPUT = "images", "output0"
DETECTOR_FILE, SETTINGS_FILE = "detector.onnx", "real.json"


@dataclass(frozen=True)
class RawHead:
    """An ONNX detector that usual clients can read.

    Attributes:
        file: the detector.
        side: of its square input, in pixels.
        channels: of its output: four of a box, and the classes.
        anchors: of its output.
    """

    file: Path
    side: int
    channels: int
    anchors: int


def takes_rectangles(model: Path) -> bool:
    """Return whether a detector's file takes pictures of other shapes than one.

    A checkpoint does; an ONNX file does where it says no height.
    """
    return model.suffix != ".onnx" or not _shape(onnx.load(model).graph.input[0])[-2]


def raw_head(file: Path, classes: int) -> RawHead | None:
    """Return what usual clients need to know of a detector; None where they cannot read it.

    They read a YOLOv8 head, ``[n, 4 + classes, anchors]``, of a network with one square input.
    """
    graph = onnx.load(file).graph
    if len(graph.input) != 1 or len(graph.output) != 1:
        return None
    taken, given = _shape(graph.input[0]), _shape(graph.output[0])
    square = len(taken) == 4 and taken[1] == 3 and taken[2] and taken[2] == taken[3]
    if not square or len(given) != 3 or given[1] != 4 + classes or not given[2]:
        return None
    named = (graph.input[0].name, graph.output[0].name) == (INPUT, OUTPUT)
    return RawHead(file, taken[2], given[1], given[2]) if named else None


def real_network(
    baselines: Path, head: RawHead, folder: Path, *, precision: str, cores: int
) -> Path:
    """Make a repository that holds the network alone; return it.

    Args:
        baselines: the folder ``benchmarks`` of a clone.
        head: the detector.
        folder: to make.
        precision: that OpenVINO computes in, ``f32`` or ``bf16``.
        cores: to keep busy.
    """
    version = folder / MODEL / "1"
    version.mkdir(parents=True)
    shutil.copy(baselines / "real_network" / "model.py", version)
    shutil.copy(head.file, version / DETECTOR_FILE)
    (version / SETTINGS_FILE).write_text(json.dumps({"precision": precision}))
    config = pb.ModelConfig(name=MODEL, backend="python", max_batch_size=1)
    config.input.add(name=INPUT, data_type=pb.TYPE_FP32, dims=[3, head.side, head.side])
    config.output.add(name=OUTPUT, data_type=pb.TYPE_FP32, dims=[head.channels, head.anchors])
    config.instance_group.add(kind=pb.ModelInstanceGroup.KIND_CPU, count=cores)
    (folder / MODEL / CONFIG_FILE).write_text(config_text(config))
    return folder


def _shape(value: onnx.ValueInfoProto) -> list[int]:
    """Return the sizes of a tensor; 0 where it does not say."""
    return [axis.dim_value for axis in value.type.tensor_type.shape.dim]
