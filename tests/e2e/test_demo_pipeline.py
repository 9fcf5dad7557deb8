"""The demo detector, served, against ultralytics' own predictions, and what its clients print."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from tritonclient.grpc import InferenceServerClient

from tests.conftest import ROOT
from tests.e2e.packets import send
from tests.e2e.wire import infer, rows
from tests.serving import (
    Serving,
    children,
    framewire,
    port_options,
    running,
    shared_memory_of,
)
from thin_client import AsyncDetector, BadImage, Detections, Detector, annotate

SAMPLES = ROOT / "samples"
GOLDEN = json.loads((SAMPLES / "golden.json").read_text())
IMAGES = {entry["file"]: entry for entry in GOLDEN["images"]}


def golden_rows(name: str, frames: str = "detections") -> np.ndarray:
    """Detections of ultralytics: [n, 6] of x1, y1, x2, y2, score, class.

    ``detections`` are those of ``predict`` with its defaults, ``in_square`` those in whole frames.
    """
    found = IMAGES[name][frames]
    return np.array([[*each["box"], each["score"], each["class"]] for each in found]).reshape(-1, 6)


def assert_same_detections(served: np.ndarray, expected: np.ndarray) -> None:
    assert len(served) == len(expected)
    unmatched = list(range(len(served)))
    for row in expected:
        # Scores a hair apart may swap places, so each is paired with the nearest of its class.
        same_class = [index for index in unmatched if served[index, 5] == row[5]]
        assert same_class, row
        nearest = min(same_class, key=lambda index: np.abs(served[index, :4] - row[:4]).max())
        unmatched.remove(nearest)
        assert np.abs(served[nearest, :4] - row[:4]).max() <= 1
        assert abs(served[nearest, 4] - row[4]) <= 0.01


def test_there_are_a_dozen_golden_images_with_every_class() -> None:
    assert len(IMAGES) >= 12
    found = np.concatenate([golden_rows(name) for name in IMAGES])
    assert set(found[:, 5]) == {0, 1, 2, 3}
    assert len(found) >= 30


@pytest.mark.parametrize("model", ["codes", "codes_bls"])
@pytest.mark.parametrize("name", IMAGES)
def test_served_detections_are_those_of_ultralytics(server: Serving, model: str, name: str) -> None:
    answer = infer(server.url, model, [(SAMPLES / name).read_bytes()])
    assert answer["image_size"].tolist() == [[IMAGES[name]["width"], IMAGES[name]["height"]]]
    assert_same_detections(rows(answer), golden_rows(name))


@pytest.mark.parametrize("name", [name for name in IMAGES if name.endswith(".jpg")])
def test_a_stream_of_such_frames_has_the_same(server: Serving, name: str) -> None:
    with InferenceServerClient(server.url) as client:
        packet = (SAMPLES / name).read_bytes()
        options = {"start": True, "end": True, "codec": "mjpeg"}
        answer = send(client, "codes_stream", f"{name}", packet, **options)
    assert_same_detections(rows(answer), golden_rows(name))


@pytest.mark.parametrize("model", ["codes", "codes_bls"])
def test_images_of_several_sizes_in_one_request_are_seen_in_whole_frames(
    server: Serving, model: str
) -> None:
    """As ``predict`` has it for a list of images that are not all of one size."""
    names = list(IMAGES)[:12]
    answer = infer(server.url, model, [(SAMPLES / name).read_bytes() for name in names])
    for index, name in enumerate(names):
        assert_same_detections(rows(answer, index), golden_rows(name, "in_square"))


@pytest.mark.parametrize("model", ["codes", "codes_bls"])
def test_images_of_one_size_in_one_request_are_one_batch_of_the_smallest_frames(
    server: Serving, model: str
) -> None:
    before = runs_of_network(server)
    answer = infer(server.url, model, [(SAMPLES / "warehouse.jpg").read_bytes()] * 5)
    for index in range(5):
        assert_same_detections(rows(answer, index), golden_rows("warehouse.jpg"))
    assert tuple(runs_of_network(server) - before) == (5, 1)


def runs_of_network(server: Serving) -> np.ndarray:
    """Frames that the network has run, and runs."""
    with InferenceServerClient(server.url) as client:
        (model,) = client.get_inference_statistics("codes_network").model_stats
    return np.array([model.inference_count, model.execution_count])


@pytest.mark.parametrize("bls", [False, True])
def test_requests_of_all_shapes_at_once_each_get_their_own(server: Serving, bls: bool) -> None:
    names = list(IMAGES) * 3
    with Detector(server.url, "codes", bls=bls) as detector:
        images = ((SAMPLES / name).read_bytes() for name in names)
        for name, detections in zip(
            names, detector.detect_stream(images, in_flight=16), strict=True
        ):
            assert_is_golden(detections, name)


def test_ensemble_and_bls_agree_to_the_bit(server: Serving) -> None:
    for name in IMAGES:
        data = (SAMPLES / name).read_bytes()
        ensemble, bls = infer(server.url, "codes", [data]), infer(server.url, "codes_bls", [data])
        for output, array in ensemble.items():
            np.testing.assert_array_equal(array, bls[output], err_msg=f"{name} {output}")


def test_the_client_finds_the_only_label_names_and_sizes(server: Serving) -> None:
    with Detector(server.url, "codes") as detector:
        pipeline = detector.connect()
        assert pipeline.labels == ("qr_code", "barcode", "data_matrix", "marker")
        assert (pipeline.input_width, pipeline.input_height) == (640, 640)
        assert_is_golden(detector.detect((SAMPLES / "warehouse.jpg").read_bytes()), "warehouse.jpg")


def assert_is_golden(detections: Detections, name: str, frames: str = "detections") -> None:
    assert (detections.width, detections.height) == (
        IMAGES[name]["width"],
        IMAGES[name]["height"],
    )
    served = [[*each.box_xyxy, each.score, each.class_index] for each in detections]
    assert_same_detections(np.array(served).reshape(-1, 6), golden_rows(name, frames))
    labels = {each["class"]: each["label"] for each in IMAGES[name][frames]}
    assert {each.class_index: each.label for each in detections} == labels


@pytest.mark.parametrize("bls", [False, True])
def test_a_batch_in_one_call_with_a_bad_image_in_the_middle(server: Serving, bls: bool) -> None:
    names = [name for name in IMAGES if not name.endswith("/")] * 2
    batch = [(SAMPLES / name).read_bytes() for name in names]
    batch.insert(5, b"not an image")
    with Detector(server.url, "codes", bls=bls) as detector:
        results = detector.detect_batch(batch)
        with pytest.raises(BadImage, match="not a JPEG, PNG, WebP or BMP"):
            detector.detect(b"not an image")
    bad = results.pop(5)
    assert not bad.ok
    assert len(bad) == 0
    for name, result in zip(names, results, strict=True):
        assert result.ok
        assert_is_golden(result, name, "in_square")


def test_the_asyncio_client_gets_the_same(server: Serving) -> None:
    names = list(IMAGES)

    async def detect_all() -> list[Detections]:
        async with AsyncDetector(server.url, "codes") as detector:
            calls = [detector.detect((SAMPLES / name).read_bytes()) for name in names]
            return await asyncio.gather(*calls)

    for name, detections in zip(names, asyncio.run(detect_all()), strict=True):
        assert_is_golden(detections, name)


def test_a_stream_keeps_its_order(server: Serving) -> None:
    names = list(IMAGES) * 2
    with Detector(server.url, "codes") as detector:
        images = ((SAMPLES / name).read_bytes() for name in names)
        for name, detections in zip(
            names, detector.detect_stream(images, in_flight=6), strict=True
        ):
            assert_is_golden(detections, name)


def client_command(server: Serving, *arguments: str) -> subprocess.CompletedProcess[str]:
    command, *rest = arguments
    return subprocess.run(
        [sys.executable, "-m", "thin_client.cli", command, "--url", server.url, *rest],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_command_prints_a_json_line_per_file(server: Serving, tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes((SAMPLES / "warehouse.jpg").read_bytes()[:9000])
    files = [str(path) for path in sorted(SAMPLES.glob("*.jpg"))]
    files.insert(1, str(broken))
    files.insert(2, str(tmp_path / "missing.jpg"))
    done = client_command(server, "image", *files, "--model", "codes", "--json")
    assert done.returncode == 1
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["file"] for line in lines] == files
    assert "corrupt" in lines[1]["error"]
    assert set(lines[1]) == set(lines[2]) == {"file", "error"}
    for line in [lines[0], *lines[3:]]:
        golden = IMAGES[Path(line["file"]).name]
        assert (line["width"], line["height"]) == (golden["width"], golden["height"])
        served = [[*each["box"], each["score"], each["class"]] for each in line["detections"]]
        assert_same_detections(
            np.array(served).reshape(-1, 6), golden_rows(Path(line["file"]).name)
        )
        assert {"label", "class", "score", "box"} == set().union(
            *line["detections"], {"label", "class", "score", "box"}
        )
    assert client_command(server, "image", files[0], "--model", "codes").returncode == 0


def test_the_command_needs_a_name_where_there_are_two_pipelines(server: Serving) -> None:
    done = client_command(server, "image", str(SAMPLES / "warehouse.jpg"))
    assert done.returncode == 2
    assert "codes" in done.stderr
    assert "tiny" in done.stderr


def test_the_command_annotates_a_video_frame_for_frame(server: Serving, tmp_path: Path) -> None:
    source, annotated = tmp_path / "in.avi", tmp_path / "out.avi"
    frame = cv2.resize(cv2.imread(str(SAMPLES / "warehouse.jpg")), (640, 360))
    writer = cv2.VideoWriter(str(source), cv2.VideoWriter_fourcc(*"MJPG"), 10, (640, 360))
    for shift in range(12):
        writer.write(np.roll(frame, shift * 8, axis=1))
    writer.release()
    done = client_command(
        server, "video", str(source), "--model", "codes", "--out", str(annotated), "--json"
    )
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(lines) == 12
    assert any(line["detections"] for line in lines)
    reader = cv2.VideoCapture(str(annotated))
    assert int(reader.get(cv2.CAP_PROP_FRAME_COUNT)) == 12
    reader.release()


def test_a_video_is_never_replaced_by_its_annotated_copy(server: Serving, tmp_path: Path) -> None:
    source, link = tmp_path / "clip.avi", tmp_path / "link.avi"
    source.write_bytes(b"precious")
    link.symlink_to(source)
    for out in (source, link):
        done = client_command(server, "video", str(source), "--model", "codes", "--out", str(out))
        assert done.returncode == 2
        assert "would replace its own source" in done.stderr
    assert source.read_bytes() == b"precious"


def test_the_variant_may_be_named_and_asked_for(server: Serving) -> None:
    with Detector(server.url, "codes_bls", bls=True) as detector:
        assert detector.connect().model == "codes_bls"


def test_labels_at_the_right_edge_stay_in_the_picture() -> None:
    pixels = np.zeros((100, 300, 3), np.uint8)
    detections = Detections(
        boxes_xyxy=np.array([[280, 40, 299, 60]], np.float32),
        scores=np.array([0.5], np.float32),
        classes=np.array([0], np.int32),
        labels=("a rather long label",),
        width=300,
        height=100,
    )
    drawn = annotate(pixels, detections)
    # The label begins left of its box, as it would stick out otherwise.
    assert drawn[20:40, 100:270].any()


def test_info_and_dummy_work_against_the_real_server(server: Serving) -> None:
    info = client_command(server, "info", "--model", "codes")
    assert info.returncode == 0, info.stderr
    for word in ("2.51.0", "640x640", "qr_code", "codes_network"):
        assert word in info.stdout
    dummy = client_command(server, "dummy", "--model", "codes")
    assert dummy.returncode == 0, dummy.stderr
    assert "latency" in dummy.stdout


def test_the_demo_shows_boxes_and_stops(tmp_path: Path) -> None:
    ports, _ = port_options()
    picture = tmp_path / "build" / "demo.png"
    done = subprocess.run(
        framewire("demo", "--out", str(picture), *ports),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    for words in (
        "label",
        "qr_code",
        "barcode",
        "marker",
        "ms a request",
        "network",
        "Triton stopped",
    ):
        assert words in done.stdout
    original = cv2.imread(str(SAMPLES / "warehouse.jpg"))
    annotated = cv2.imread(str(picture))
    assert annotated.shape == original.shape
    assert (annotated != original).any(axis=2).mean() > 0.001


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_is_no_success_and_leaves_nothing(signal_number: int) -> None:
    ports, _ = port_options()
    demo = subprocess.Popen(
        framewire("demo", *ports),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert demo.stdout is not None
    assert demo.stdout.readline().startswith("starting Triton")
    (triton,) = children(demo.pid)
    demo.send_signal(signal_number)
    _, errors = demo.communicate(timeout=60)
    assert demo.returncode == 130
    assert errors == "framewire: interrupted\n"
    assert not running(triton)
    assert shared_memory_of(demo.pid) == []


def test_the_demo_fails_in_one_sentence_outside_a_clone(tmp_path: Path) -> None:
    done = subprocess.run(
        framewire("demo"), cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith("framewire: cannot read samples/warehouse.jpg")
    assert done.stderr.count("\n") == 1
