"""What a repository says of a pipeline, as far as it decides what a container needs."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from pathlib import Path

from tritonclient.grpc import model_config_pb2 as pb

from builder.errors import InvalidPipelineError, RepositoryError
from builder.pipelines.config_files import read_config
from builder.pipelines.manifest import pipelines, read_manifest
from builder.pipelines.model_configs import NETWORK_FILE
from builder.pipelines.repository import SETTINGS_FILE
from builder.settings import Runtime
from thin_client.contract import model_names

MIB = 2**20


@dataclass(frozen=True)
class PipelineFacts:
    """The active version of a pipeline.

    Attributes:
        name: of the pipeline.
        width: of the network's input, pixels.
        height: of the network's input, pixels.
        max_batch: the largest batch.
        instances: processes that decode at once, of each of the two variants.
        decode_threads: of each of them; 0 for its share of the cores.
        max_image_pixels: an image with more is refused.
        runtime: of the network.
        wants_gpu: whether the network runs on a GPU, at least where Triton finds one.
        network_bytes: size of the network's file.
        max_queue: requests that wait for each variant at most; None where nothing bounds them, as
            in pipelines of older builders.
        stream_memory: bytes that the decoders of its streams may take; None where it takes none.
    """

    name: str
    width: int
    height: int
    max_batch: int
    instances: int
    decode_threads: int
    max_image_pixels: int
    runtime: Runtime
    wants_gpu: bool
    network_bytes: int
    max_queue: int | None = None
    stream_memory: int | None = None

    @property
    def frames_in_flight(self) -> int:
        """Frames on their way from the steps that decode through the network, at most."""
        steps = 1 if self.stream_memory is None else 2
        return steps * max(2, self.instances) * self.max_batch

    @property
    def frame_mib(self) -> float:
        """A frame between two steps: three bytes a pixel."""
        return self.width * self.height * 3 / MIB

    @property
    def megapixels(self) -> float:
        """Of the network's input, in 10**6 pixels."""
        return self.width * self.height / 1e6

    def threads(self, cores: int) -> int:
        """Return how many images a decoding process has under way, as its frame loader counts."""
        if self.decode_threads:
            return min(self.max_batch, self.decode_threads)
        share = -(-cores // self.instances)
        return min(self.max_batch, cores, max(share, self.max_batch // 4))


def facts_of(repository: Path) -> tuple[PipelineFacts, ...]:
    """Return the facts of every pipeline in a repository.

    Raises:
        RepositoryError: there is none.
        InvalidPipelineError: one is damaged.
    """
    names = pipelines(repository)
    if not names:
        raise RepositoryError(
            f"{repository} holds no pipelines to deploy: make one with `framewire build MODEL.onnx "
            f"--name NAME --repository {shlex.quote(str(repository))}`"
        )
    return tuple(_facts(repository, name) for name in names)


def _facts(repository: Path, name: str) -> PipelineFacts:
    manifest = read_manifest(repository, name)
    names, version = model_names(name), str(manifest.version)
    settings_file = repository / names.preprocess / version / SETTINGS_FILE
    network_file = repository / names.network / version / NETWORK_FILE
    try:
        max_image_pixels = int(json.loads(settings_file.read_text())["max_image_pixels"])
        network_bytes = network_file.stat().st_size
        stream_memory = None
        if manifest.stream:
            decode_file = repository / names.decode / version / SETTINGS_FILE
            stream_memory = int(json.loads(decode_file.read_text())["max_stream_memory"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidPipelineError(
            f"version {version} of {name} in {repository} is damaged ({error}): build the pipeline "
            "again"
        ) from error
    return PipelineFacts(
        name=name,
        width=manifest.width,
        height=manifest.height,
        max_batch=manifest.max_batch,
        instances=manifest.instances,
        decode_threads=manifest.decode_threads,
        max_image_pixels=max_image_pixels,
        runtime=manifest.runtime,
        wants_gpu=any(
            group.kind != pb.ModelInstanceGroup.KIND_CPU
            for group in read_config(repository / names.network).instance_group
        ),
        network_bytes=network_bytes,
        max_queue=_max_queue(read_config(repository / names.preprocess)),
        stream_memory=stream_memory,
    )


def _max_queue(config: pb.ModelConfig) -> int | None:
    return config.dynamic_batching.default_queue_policy.max_queue_size or None
