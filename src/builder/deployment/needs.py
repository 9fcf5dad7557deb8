"""What a container needs to serve a repository: every number, and where it comes from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from builder.deployment.memory import process_memory
from builder.deployment.pipeline_facts import MIB, PipelineFacts, facts_of
from builder.deployment.wishes import CPU_IMAGE, GPU_IMAGE, Wishes
from builder.serving.server_options import DRAIN_S, LOOPBACK, ServerOptions
from builder.serving.shared_memory import shared_memory_bytes
from builder.serving.triton_process import KILL_AFTER_S
from builder.settings import Runtime

# Sizes are rounded up to whole steps of this, so that they read as what they are: estimates.
STEP_MIB = 64
# Measured: of a frame's CPU time, what tritonserver and the other steps take beside decoding, where
# the network does not run on these cores (docs/performance.md: 1.3 of 6.3 ms).
CORES_BESIDE_DECODING = 0.25
# Files, sockets and pipes that Triton and its Python processes have open without a client.
OWN_FILES = 1024
FILES_OF_CLIENT = 2
# Whoever stops the container waits a little longer than the server itself does.
STOP_MARGIN_S = 5


@dataclass(frozen=True)
class Needs:
    """What a container needs.

    Attributes:
        repository: that it serves.
        pipelines: in it.
        image: of the container.
        cores: it may use.
        gpus: it needs.
        shared_memory_mib: size of /dev/shm.
        usual_memory_mib: memory in use, /dev/shm included, that a scheduler should set aside.
        memory_mib: memory, /dev/shm included, beyond which it may be killed.
        open_files: its limit.
        stop_s: from SIGTERM to SIGKILL.
        ports: of the container, by what they serve.
        wishes: what the numbers were worked out for.
    """

    repository: Path
    pipelines: tuple[PipelineFacts, ...]
    image: str
    cores: int
    gpus: int
    shared_memory_mib: int
    usual_memory_mib: int
    memory_mib: int
    open_files: int
    stop_s: int
    ports: Mapping[str, int]
    wishes: Wishes

    @property
    def names(self) -> tuple[str, ...]:
        """Of the pipelines."""
        return tuple(each.name for each in self.pipelines)

    @property
    def published(self) -> tuple[str, ...]:
        """Ports of this machine's loopback and of the container, as Docker takes them."""
        return tuple(
            f"{LOOPBACK}:{self.wishes.published.get(purpose, port)}:{port}"
            for purpose, port in self.ports.items()
        )

    def reasons(self) -> tuple[str, ...]:
        """Return a line for each number that says where it comes from."""
        wishes, biggest = self.wishes, max(each.max_image_pixels for each in self.pipelines)
        return (
            f"for {self._described()}",
            f"cores {self.cores}: {self._why_cores()}",
            f"shared memory {self.shared_memory_mib} MiB: two full batches of {wishes.encoded_mib} "
            f"MiB an image in each Python process, with {wishes.versions} "
            f"{'version' if wishes.versions == 1 else 'versions'} of a pipeline loaded",
            f"memory {self.usual_memory_mib} MiB: in use with pictures up to 4K and "
            f"{wishes.in_flight} images under way, shared memory in it",
            f"memory {self.memory_mib} MiB at most: every process with pictures of "
            f"{biggest / 1e6:g} megapixels, which the pipelines accept, and every queue full of "
            "requests of one image (build with a smaller --max-image-pixels or --max-queue for "
            "less)",
            *(
                (
                    "memory for streams: their decoders may take all that --max-stream-memory "
                    "allows them",
                )
                if any(each.stream_memory for each in self.pipelines)
                else ()
            ),
            *(("GPU: memory of its libraries is assumed, not measured",) if self.gpus else ()),
            f"open files {self.open_files}: {wishes.clients} clients and Triton's own",
            f"stop {self.stop_s} s: {DRAIN_S} s for requests to be answered, {KILL_AFTER_S} s for "
            f"Triton to end, {STOP_MARGIN_S} s to spare",
        )

    def _described(self) -> str:
        return ", ".join(
            f"{each.name} ({each.width}x{each.height}, batches up to {each.max_batch}, network in "
            f"{each.runtime.value})"
            for each in self.pipelines
        )

    def _why_cores(self) -> str:
        if self.wishes.cores:
            return "as said with --cores"
        if self.gpus:
            return "one for each process that decodes, and a quarter of that for Triton"
        return "one for each process that decodes; the network shares them, and takes more if given"


def needs_of(wishes: Wishes) -> Needs:
    """Work out what a container needs.

    Raises:
        RepositoryError: there are no pipelines in the repository, or it is damaged.
    """
    pipelines = facts_of(wishes.repository)
    wanted = int(any(each.wants_gpu for each in pipelines))
    gpus = wanted if wishes.gpus is None else wishes.gpus
    cores = wishes.cores or _cores(pipelines, gpus)
    shared = shared_memory_bytes(wishes.repository, wishes.versions, wishes.encoded_bytes) / MIB
    shared_now = shared_memory_bytes(wishes.repository, 1, wishes.encoded_bytes) / MIB
    processes = process_memory(
        pipelines,
        cores=cores,
        gpus=gpus,
        versions=wishes.versions,
        clients=wishes.clients,
        in_flight=wishes.in_flight,
        encoded_bytes=wishes.encoded_bytes,
    )
    shared_memory_mib = _rounded(shared)
    return Needs(
        repository=wishes.repository,
        pipelines=pipelines,
        image=wishes.image or _image(pipelines),
        cores=cores,
        gpus=gpus,
        shared_memory_mib=shared_memory_mib,
        usual_memory_mib=_rounded(processes.usual + shared_now),
        memory_mib=_rounded(processes.most) + shared_memory_mib,
        open_files=OWN_FILES + FILES_OF_CLIENT * wishes.clients,
        stop_s=round(DRAIN_S + KILL_AFTER_S) + STOP_MARGIN_S,
        ports=ServerOptions(wishes.repository).ports,
        wishes=wishes,
    )


def _image(pipelines: tuple[PipelineFacts, ...]) -> str:
    embedded = all(each.runtime is Runtime.PYTHON for each in pipelines)
    return CPU_IMAGE if embedded else GPU_IMAGE


def _cores(pipelines: tuple[PipelineFacts, ...], gpus: int) -> int:
    # Clients call one variant of a pipeline or the other.
    decoding = sum(each.instances * max(1, each.decode_threads) for each in pipelines)
    return math.ceil(decoding * (1 + CORES_BESIDE_DECODING)) if gpus else decoding


def _rounded(mib: float) -> int:
    return math.ceil(mib / STEP_MIB) * STEP_MIB
