"""How much of /dev/shm a repository's Python models may need, and whether it is there.

Each Python model exchanges its tensors with Triton through a region in /dev/shm. Where that runs
out the model is killed by SIGBUS, long after the start: better to say so before.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

SHM_FOLDER = Path("/dev/shm")  # noqa: S108 - where POSIX shared memory lives
# A frame of 640 x 640 and its encoded bytes fit without growing; each growth remaps the region.
SHM_DEFAULT_BYTES = 16 * 2**20
SHM_GROWTH_BYTES = 16 * 2**20

ELEMENT_BYTES = {pb.TYPE_UINT8: 1, pb.TYPE_INT32: 4, pb.TYPE_FP32: 4}
# Key of `parameters` in configs that leave dims open.
IMAGE_BYTES = "image_bytes"
# Encoded images: as large as a full HD JPEG of high quality.
ENCODED_BYTES = 2**20


def shared_memory_shortage(repository: Path) -> str | None:
    """Return a sentence when /dev/shm may be too small for a repository, else None."""
    needed = sum(_model_bytes(config) for config in repository.glob("*/config.pbtxt"))
    total = shutil.disk_usage(SHM_FOLDER).total
    if total >= needed:
        return None
    has_mb, needs_mb = total / 2**20, needed / 2**20
    return (
        f"{SHM_FOLDER} has {has_mb:.0f} MB and full batches may need {needs_mb:.0f} MB, beyond "
        "which models crash: give it more (docker run --shm-size 1g), or build with a smaller "
        "--max-batch"
    )


def set_image_bytes(config: pb.ModelConfig, dims: Sequence[Sequence[int]]) -> None:
    """Note in a config with open dims how large the tensors of one image are.

    Args:
        config: changed in place.
        dims: those of its inputs, then those of its outputs.
    """
    tensors = (*config.input, *config.output)
    total = sum(
        _tensor_bytes(tensor.data_type, sizes) for tensor, sizes in zip(tensors, dims, strict=True)
    )
    config.parameters[IMAGE_BYTES].string_value = str(total)


def _tensor_bytes(data_type: int, dims: Iterable[int]) -> int:
    return math.prod(max(size, 1) for size in dims) * ELEMENT_BYTES.get(data_type, ENCODED_BYTES)


def _model_bytes(config_file: Path) -> int:
    try:
        config = text_format.Parse(config_file.read_text(), pb.ModelConfig())
    except text_format.ParseError:
        return 0  # somebody else's model: Triton will say what it thinks of it
    if config.backend != "python":
        return 0
    image_bytes = int(config.parameters[IMAGE_BYTES].string_value or 0) or sum(
        _tensor_bytes(tensor.data_type, tensor.dims) for tensor in (*config.input, *config.output)
    )
    instances = sum(group.count for group in config.instance_group) or 1
    batch = max(config.max_batch_size, 1)
    return int(instances * max(SHM_DEFAULT_BYTES, batch * image_bytes))
