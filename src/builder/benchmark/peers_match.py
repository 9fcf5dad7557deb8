"""The match with what users would pick instead: frames of a camera, the real network."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from builder.benchmark import targets as t
from builder.benchmark.comparison import (
    Match,
    Servers,
    Setup,
    image_data,
    play_rounds,
    working_folder,
)
from builder.benchmark.frames import resized_jpegs
from builder.benchmark.litserve_contestant import (
    LitServeContestant,
    best_litserve,
    missing_packages,
)
from builder.benchmark.our_pipeline import OurPipeline, openvino_precision, our_pipeline
from builder.benchmark.predict import NO_ULTRALYTICS, fastest_predict
from builder.benchmark.processes import cpu_ms_per_image, cpu_seconds
from builder.benchmark.real_network import MODEL, RawHead, raw_head, real_network
from builder.benchmark.same_boxes import Boxes, agreement, boxes_of, check_agreement, clipped
from builder.benchmark.sample import Sample
from builder.benchmark.server_work import server_statistics, work_between
from builder.benchmark.serving import MeasuredServer, measured_server
from thin_client import Detector
from thin_client.contract import model_names

# Frames of a camera, and as many at once as in the other matches of throughput.
CONCURRENCY, SIZE = 8, (1920, 1080)


@dataclass
class _Peers:
    """The contestants that are not ours, as they are found.

    Attributes:
        contestants: by name, what measures each once.
        boxes: by name, what returns what it found in each image; after the first measurement.
        remarks: what is to be known of them.
        litserve: what is behind one of them.
        why_no_litserve: if there is none.
    """

    contestants: dict[str, Callable[[], Sample]] = field(default_factory=dict)
    boxes: dict[str, Callable[[], list[Boxes]]] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    litserve: LitServeContestant | None = None
    why_no_litserve: str = NO_ULTRALYTICS


def peers_match(setup: Setup) -> Match:
    """Compare the pipeline with what users would pick instead, and check that all find the same.

    Raises:
        BenchmarkError: one of them finds other boxes, or cannot be measured.
    """
    with ExitStack() as stack:
        folder = working_folder(stack)
        files = resized_jpegs(setup.images, *SIZE, folder / "frames")
        data = image_data(files, folder / "frames.json")
        ours = our_pipeline(setup, folder / "pipeline")
        names = model_names(ours.manifest.name)
        server = stack.enter_context(measured_server(ours.repository))
        match = Servers(setup, "peers")
        peers = _Peers(remarks=[f"ours: {ours.words}"])
        _add_client_frames(peers, setup, ours, server, folder)
        _add_client_fp32(peers, setup, ours, folder, stack)
        _add_ultralytics(peers, setup, files, folder, stack)
        contestants = {
            t.ENSEMBLE: match.served(t.ENSEMBLE, server, names.ensemble, data, CONCURRENCY),
            t.BLS: match.served(t.BLS, server, names.bls, data, CONCURRENCY),
            **peers.contestants,
        }
        rounds = play_rounds(setup, "peers", contestants)
        found = _within_pictures(_our_boxes(server, names.ensemble, files))
        for name, boxes in peers.boxes.items():
            compared = agreement(found, _within_pictures(boxes()))
            check_agreement(name, compared)
            peers.remarks.append(f"{name}: {compared.words}")
        if peers.litserve:
            peers.remarks.append(
                f"{t.LITSERVE}: its load generator took {peers.litserve.client_cpu_ms:.2f} ms of "
                "CPU an image beside it"
            )
        return Match(
            f"Peers: {ours.manifest.source}, {SIZE[0]}x{SIZE[1]} JPEGs, {CONCURRENCY} in flight",
            rounds,
            match.profiles,
            t.peer_targets(rounds, peers.why_no_litserve),
            advantages=t.advantages(rounds),
            remarks=tuple(peers.remarks),
        )


def _add_client_frames(
    peers: _Peers, setup: Setup, ours: OurPipeline, server: MeasuredServer, folder: Path
) -> None:
    """Add the client with our own code that asks our own network."""
    answers = folder / "client_frames.json"
    loop = partial(
        setup.loops.client_frames,
        server.target.grpc_url,
        ours.repository.resolve(),
        ours.manifest,
        folder / "frames",
        in_flight=CONCURRENCY,
        answers=answers,
    )
    network = model_names(ours.manifest.name).network
    peers.contestants[t.CLIENT_FRAMES] = partial(_with_server, server, network, loop)
    peers.boxes[t.CLIENT_FRAMES] = partial(_read_boxes, answers)


def _add_client_fp32(
    peers: _Peers, setup: Setup, ours: OurPipeline, folder: Path, stack: ExitStack
) -> None:
    """Add the client that usual recipes have, where it can read the detector's head."""
    head: RawHead | None = None
    if ours.detector is not None and ours.detector.suffix == ".onnx":
        head = raw_head(ours.detector, ours.manifest.num_classes)
    if head is None:
        peers.remarks.append(
            f"{t.CLIENT_FP32}: not measured, for want of the pipeline's detector as an ONNX file "
            "with a YOLOv8 head and one square input"
        )
        return
    precision = openvino_precision()
    repository = real_network(
        setup.baselines, head, folder / "real", precision=precision, cores=setup.cores
    )
    server = stack.enter_context(measured_server(repository, tuned=False))
    answers = folder / "client_fp32.json"
    loop = partial(
        setup.loops.client_side,
        server.target.grpc_url,
        folder / "frames",
        in_flight=CONCURRENCY,
        side=head.side,
        answers=answers,
    )
    peers.contestants[t.CLIENT_FP32] = partial(_with_server, server, MODEL, loop)
    peers.boxes[t.CLIENT_FP32] = partial(_read_boxes, answers)
    peers.remarks.append(
        f"{t.CLIENT_FP32}: {head.side}x{head.side}, OpenVINO computes in {precision}"
    )


def _add_ultralytics(
    peers: _Peers, setup: Setup, files: Sequence[Path], folder: Path, stack: ExitStack
) -> None:
    """Add ultralytics in process and behind LitServe, as far as they are at hand."""
    if setup.ultralytics is None:
        return
    answers = folder / "predict.json"
    predict = fastest_predict(setup, setup.ultralytics, folder / "frames", answers)
    peers.contestants[t.ULTRALYTICS] = predict.measure
    peers.boxes[t.ULTRALYTICS] = partial(_read_boxes, answers)
    peers.remarks.append(f"{t.ULTRALYTICS}: {predict.words}")
    python = setup.ultralytics.python
    if missing := missing_packages(python):
        peers.why_no_litserve = f"{python} has no {missing}"
        return
    images = [file.read_bytes() for file in files]
    peers.litserve = best_litserve(stack, setup, setup.ultralytics, images, CONCURRENCY)
    peers.contestants[t.LITSERVE] = peers.litserve.measure
    peers.boxes[t.LITSERVE] = peers.litserve.boxes
    peers.remarks += peers.litserve.words


def _with_server(server: MeasuredServer, model: str, loop: Callable[[], Sample]) -> Sample:
    """Measure a client and add to its CPU time that of the server that it asks."""
    pid, url = server.pid, server.target.grpc_url
    statistics, before = server_statistics(url), {} if pid is None else cpu_seconds(pid)
    sample = loop()
    after = {} if pid is None else cpu_seconds(pid)
    work = work_between(statistics, server_statistics(url))
    images = sum(each.images for each in work if each.model == model)
    server_ms = sum(cpu_ms_per_image(before, after, images).values())
    return replace(sample, cpu_ms=(sample.cpu_ms or 0.0) + server_ms)


def _our_boxes(server: MeasuredServer, model: str, files: Sequence[Path]) -> list[Boxes]:
    with Detector(server.target.grpc_url, model) as detector:
        return [
            boxes_of(
                [
                    [*each.box_xyxy, each.score, each.class_index]
                    for each in detector.detect(file.read_bytes())
                ]
            )
            for file in files
        ]


def _within_pictures(found: Sequence[Boxes]) -> list[Boxes]:
    return [clipped(boxes, *SIZE) for boxes in found]


def _read_boxes(answers: Path) -> list[Boxes]:
    return [boxes_of(rows) for rows in json.loads(answers.read_text())]
