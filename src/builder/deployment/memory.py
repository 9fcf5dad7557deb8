"""How much memory the processes of a server take: what was measured, for other settings.

The constants come from the tables in docs/performance.md ("Memory of each process"), in MiB. They
hold for Triton 24.10 on CPUs with two cores; what GPUs add is assumed, and said to be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from builder.deployment.pipeline_facts import MIB, PipelineFacts

# Measured: `framewire serve` itself, and Triton before its first request.
SERVE_MIB = 70
TRITON_MIB = 45
# Measured: Triton's growth with the images under way, encoded and as frames; its buffers for what
# comes in, for what the steps pass on, and what its allocator keeps of them.
COPIES_IN_TRITON = 3
# Where an image may wait as the client sent it: the ensemble's first step, and the other variant.
QUEUES = 2
# Measured: a connection on which nothing happens.
CONNECTION_MIB = 0.02
# Measured: a process that decodes before its first request, with what its allocator keeps later,
# and the postprocess step.
DECODING_MIB = 72
POSTPROCESS_MIB = 50
# Measured: a process that decodes packets, with eight streams of 640x368 in two of them.
DECODING_PACKETS_MIB = 90
# Measured: 4 MiB more than the postprocess step, whose code it has, with eight streams that are
# tracked.
DETECT_MIB = 56
BYTES_OF_PIXEL = 3
# A process decodes one picture of more pixels at a time, smaller ones in all its threads
# (builder/served_models/preprocess/decode.py); large ones may be held twice, when they are turned.
LARGE_PICTURE_PIXELS = 25_000_000
COPIES_OF_LARGE_PICTURE = 2
# A frame of 4K, the largest picture that cameras usually send.
USUAL_PIXELS = 3840 * 2160
# Measured: OpenVINO before it has a network; what each compilation keeps for each byte of the
# network's file; and a stream's activations for each megapixel of input, which grow with the file
# as wider networks have more of both.
OPENVINO_MIB = 126
FILE_COPIES = 3
STREAM_MIB_OF_MEGAPIXEL = 110
STREAM_MIB_OF_FILE_MIB = 1.6
# For networks of other families than those measured.
NETWORK_MARGIN = 1.25
# Assumed, not measured: what CUDA, TensorRT or ONNX Runtime and Triton's pinned memory add to a
# Triton that has a GPU.
GPU_RUNTIME_MIB = 3072


@dataclass(frozen=True)
class ProcessMemory:
    """Memory of the processes without what they share, in MiB.

    Attributes:
        usual: with full batches of pictures of up to 4K, one version of each pipeline.
        most: with the largest pictures that the pipelines accept, in all processes at once, every
            queue full, and the further versions beside.
    """

    usual: float
    most: float


def process_memory(
    pipelines: Sequence[PipelineFacts],
    *,
    cores: int,
    gpus: int,
    versions: int,
    clients: int,
    in_flight: int,
    encoded_bytes: int,
) -> ProcessMemory:
    """Return what a server's processes take.

    Args:
        pipelines: that it serves.
        cores: that it may use.
        gpus: that it has.
        versions: of each pipeline, loaded at once.
        clients: connected at once.
        in_flight: images under way at once.
        encoded_bytes: an encoded image.
    """
    encoded_mib = encoded_bytes / MIB
    frame_mib = max(each.frame_mib for each in pipelines)
    triton = TRITON_MIB + CONNECTION_MIB * clients
    triton += COPIES_IN_TRITON * in_flight * (encoded_mib + frame_mib)
    if gpus:
        triton += GPU_RUNTIME_MIB
    server = SERVE_MIB + triton
    networks = sum(network_mib(each, cores) for each in pipelines if not (gpus and each.wants_gpu))
    usual = networks + sum(
        _steps_mib(each, cores, encoded_mib, accepted=False) for each in pipelines
    )
    most = networks + sum(
        _steps_mib(each, cores, encoded_mib, accepted=True) + waiting_mib(each, encoded_mib)
        for each in pipelines
    )
    # Hardly anybody calls the version that is on its way out.
    return ProcessMemory(server + usual, server + most + (versions - 1) * usual)


def waiting_mib(pipeline: PipelineFacts, encoded_mib: float) -> float:
    """Return what requests of one image take when all queues of a pipeline are full.

    What is beyond is refused, so this bounds it: max_queue x 2 x encoded, and (encoded + frame) for
    each frame that is on its way through the network. Clients that send batches need the former as
    often as there are images in theirs.
    """
    if pipeline.max_queue is None:
        return 0
    waiting = pipeline.max_queue * QUEUES * encoded_mib
    return waiting + pipeline.frames_in_flight * (encoded_mib + pipeline.frame_mib)


def _steps_mib(pipeline: PipelineFacts, cores: int, encoded_mib: float, accepted: bool) -> float:
    """Return what the processes of one version take, but for its network's.

    Args:
        pipeline: it.
        cores: that they may use.
        encoded_mib: an encoded image.
        accepted: with the largest pictures that it accepts, else with usual ones.
    """
    pixels = pipeline.max_image_pixels if accepted else min(pipeline.max_image_pixels, USUAL_PIXELS)
    decoding = DECODING_MIB + pipeline.max_batch * (encoded_mib + pipeline.frame_mib)
    decoding += pipeline.threads(cores) * _picture_mib(min(pixels, LARGE_PICTURE_PIXELS))
    if pixels > LARGE_PICTURE_PIXELS:
        decoding += COPIES_OF_LARGE_PICTURE * _picture_mib(pixels)
    # Both variants, the ensemble's and that in one process, have as many.
    decoding *= 2 * pipeline.instances
    return decoding + _streams_mib(pipeline, encoded_mib, accepted) + POSTPROCESS_MIB


def _streams_mib(pipeline: PipelineFacts, encoded_mib: float, accepted: bool) -> float:
    if pipeline.stream_memory is None:
        return 0.0
    process = DECODING_PACKETS_MIB + pipeline.max_batch * (encoded_mib + pipeline.frame_mib)
    # The frames of a batch, copied together.
    detect = DETECT_MIB + pipeline.max_batch * pipeline.frame_mib
    return pipeline.instances * process + detect + accepted * pipeline.stream_memory / MIB


def network_mib(pipeline: PipelineFacts, cores: int) -> float:
    """Return what a network on these cores takes: OpenVINO, in a process of its own.

    OpenVINO's is compiled for one frame on all cores and, where there are several, for a frame on
    each (builder/served_models/network/runtime.py): one stream, and one more for each core. ONNX
    Runtime inside Triton is taken to need as much.
    """
    compilations, streams = (1, 1) if cores == 1 else (2, 1 + cores)
    file_mib = pipeline.network_bytes / MIB
    stream_mib = STREAM_MIB_OF_MEGAPIXEL + STREAM_MIB_OF_FILE_MIB * file_mib
    of_network = compilations * FILE_COPIES * file_mib + streams * stream_mib * pipeline.megapixels
    return OPENVINO_MIB + NETWORK_MARGIN * of_network


def _picture_mib(pixels: int) -> float:
    return pixels * BYTES_OF_PIXEL / MIB
