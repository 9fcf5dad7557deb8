"""How much of /dev/shm a repository's Python models may need, and whether it is there.

Each Python model exchanges its tensors with Triton through a region in /dev/shm. Where that runs
out requests fail, or the model is killed by SIGBUS, long after the start: better to say so before.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Collection, Iterable
from pathlib import Path

from builder.errors import InvalidPipelineError
from builder.pipelines.config_files import CONFIG_FILE, named_versions, parse_config, read_config
from builder.pipelines.config_messages import pb
from builder.pipelines.manifest import Manifest, active_version, pipelines, read_manifest
from builder.pipelines.pipeline_models import Streams, has_streams, models_in, wanted_models
from builder.pipelines.step_tensors import (
    DECODE_OUTPUTS,
    DETECT_INPUTS,
    DETECT_OUTPUTS,
    DETECTIONS,
    POSTPROCESS_INPUTS,
    PREPROCESS_OUTPUTS,
)
from thin_client.contract import (
    CANDIDATES,
    FRAME,
    PIPELINE_INPUTS,
    PIPELINE_OUTPUTS,
    STREAM_INPUTS,
    Tensor,
    model_names,
    resolve_shape,
)

SHM_FOLDER = Path("/dev/shm")  # noqa: S108 - where POSIX shared memory lives
# A frame of 640 x 640 and its encoded bytes fit without growing; each growth remaps the region.
SHM_DEFAULT_BYTES = 16 * 2**20
SHM_GROWTH_BYTES = 16 * 2**20

# The tensors of the next batch are put there before those of the last one are taken away: with full
# batches one after the other, regions were found to be twice as large as the tensors of one.
BATCHES_IN_REGION = 2

ELEMENT_BYTES = {"UINT8": 1, "INT32": 4, "INT64": 8, "FP32": 4}
# Encoded images: as large as a full HD JPEG of high quality.
ENCODED_BYTES = 2**20


def shared_memory_shortage(repository: Path, left_out: Collection[str] = ()) -> str | None:
    """Return a sentence when /dev/shm may be too small for a repository, else None.

    Args:
        repository: the model repository.
        left_out: names of pipelines and models in it that are not served.
    """
    needed = shared_memory_bytes(repository, left_out=left_out)
    total = shutil.disk_usage(SHM_FOLDER).total
    if total >= needed:
        return None
    has_mb, needs_mb = total / 2**20, needed / 2**20
    return (
        f"{SHM_FOLDER} has {has_mb:.0f} MB and full batches may need {needs_mb:.0f} MB, beyond "
        "which requests fail and models may crash: give it more (docker run --shm-size 1g), or "
        "build with a smaller --max-batch"
    )


def shared_memory_bytes(
    repository: Path,
    versions: int = 1,
    encoded_bytes: int = ENCODED_BYTES,
    left_out: Collection[str] = (),
) -> int:
    """Return what full batches may take of /dev/shm.

    Args:
        repository: the model repository.
        versions: of each pipeline, that servers may have loaded at once; those that its configs
            name count in any case.
        encoded_bytes: an encoded image, on average over a full batch.
        left_out: names of pipelines and models that are not served.

    Raises:
        InvalidPipelineError: a pipeline's config or manifest is damaged.
    """
    not_served = {*left_out, *(m for name in left_out for m in wanted_models(repository, name))}
    ours = {
        model: size
        for name in pipelines(repository)
        if name not in not_served
        for model, size in _pipeline_bytes(repository, name, versions, encoded_bytes).items()
    }
    others = [
        _model_bytes(file, encoded_bytes)
        for file in repository.glob(f"*/{CONFIG_FILE}")
        if file.parent.name not in {*ours, *not_served}
    ]
    return sum(ours.values()) + sum(others)


def _tensor_bytes(datatype: str, dims: Iterable[int], encoded_bytes: int) -> int:
    return math.prod(max(size, 1) for size in dims) * ELEMENT_BYTES.get(datatype, encoded_bytes)


def _pipeline_bytes(
    repository: Path, name: str, versions: int, encoded_bytes: int
) -> dict[str, int]:
    """Return what each Python model of a pipeline may need, all of its loaded versions counted."""
    names = model_names(name)
    tensors = {
        names.bls: (*PIPELINE_INPUTS, *PIPELINE_OUTPUTS, FRAME, CANDIDATES),
        names.preprocess: (*PIPELINE_INPUTS, *PREPROCESS_OUTPUTS),
        names.network: (FRAME, CANDIDATES),
        names.postprocess: (*POSTPROCESS_INPUTS, *DETECTIONS),
    }
    streams = has_streams(repository, name)
    if streams:
        tensors[names.decode] = (*STREAM_INPUTS, *DECODE_OUTPUTS)
    if streams == Streams.DETECT:
        # The frames come once more in the call of the network.
        tensors[names.detect] = (*DETECT_INPUTS, *DETECT_OUTPUTS, FRAME, CANDIDATES)
    needed = dict.fromkeys(models_in(repository, name), 0)
    for model, passed in tensors.items():
        config = read_config(repository / model)
        named = named_versions(config)
        # A version that is yet to come is taken to be like the active one.
        to_come = (active_version(repository, name),) * (versions - len(named))
        for version in (*named, *to_come):
            manifest = read_manifest(repository, name, version)
            image_bytes = sum(
                _tensor_bytes(tensor.datatype, _dims(tensor, manifest), encoded_bytes)
                for tensor in passed
            )
            needed[model] += _regions_bytes(config, image_bytes)
    return needed


def _dims(tensor: Tensor, manifest: Manifest) -> tuple[int, ...]:
    return resolve_shape(
        tensor,
        width=manifest.width,
        height=manifest.height,
        candidates=manifest.candidates,
        max_det=manifest.max_det,
    )


def _model_bytes(config_file: Path, encoded_bytes: int) -> int:
    try:
        config = parse_config(config_file)
    except InvalidPipelineError:
        return 0  # somebody else's model: Triton will say what it thinks of it
    image_bytes = sum(
        _tensor_bytes(
            pb.DataType.Name(tensor.data_type).removeprefix("TYPE_"), tensor.dims, encoded_bytes
        )
        for tensor in (*config.input, *config.output)
    )
    return _regions_bytes(config, image_bytes)


def _regions_bytes(config: pb.ModelConfig, image_bytes: int) -> int:
    if config.backend != "python":
        return 0
    instances = sum(group.count for group in config.instance_group) or 1
    batch = max(config.max_batch_size, 1)
    beyond = max(0, BATCHES_IN_REGION * batch * image_bytes - SHM_DEFAULT_BYTES)
    grown = math.ceil(beyond / SHM_GROWTH_BYTES)
    return int(instances * (SHM_DEFAULT_BYTES + grown * SHM_GROWTH_BYTES))
