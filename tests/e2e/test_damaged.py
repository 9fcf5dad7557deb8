"""Damaged pictures over gRPC: refused, or looked at as far as they go, as asked for."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from tritonclient.grpc import InferenceServerClient
from tritonclient.utils import InferenceServerException

from builder.pipelines.manifest import read_manifest
from builder.pipelines.repository import build_pipeline
from builder.settings import BuildSettings
from tests import images
from tests.e2e import packets
from tests.e2e.wire import infer, rows
from tests.metrics import scrape, total
from tests.serving import Serving, serving
from tests.tiny_detector import coloured_square, save_tiny_detector
from thin_client import BadImage, Detector, InvalidRequestParameter
from thin_client.contract import STATUS_SENTENCES, DamagedImages, ImageStatus

# One that refuses, as pipelines do, and one that was built to accept.
STRICT, LENIENT = "tiny", "lenient"
WHOLE = images.encoded(coloured_square("red", size=256, left=128, top=0, side=32))
# The square is at the top, and what is missing at the bottom.
DAMAGED = WHOLE[: len(WHOLE) * 9 // 10]
NOTHING = WHOLE[: WHOLE.index(b"\xff\xda") + 14]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    folder = tmp_path_factory.mktemp("damaged")
    model = save_tiny_detector(folder / "tiny.onnx")
    for name, damaged in ((STRICT, DamagedImages.REFUSE), (LENIENT, DamagedImages.ACCEPT)):
        # What is missing is grey, which the detector takes for a little of every colour.
        settings = BuildSettings(name, conf=0.6, stream=True, damaged=damaged)
        build_pipeline(model, folder / "repository", settings)
    with serving(folder / "repository", "--no-supervise") as running:
        yield running


def assert_shown(answer: dict[str, np.ndarray], row: int = 0) -> None:
    """The square was found, and the status says that the picture is damaged."""
    assert answer["image_status"][row, 0] == ImageStatus.DAMAGED
    assert answer["image_size"][row].tolist() == [256, 256]
    np.testing.assert_allclose(rows(answer, row)[0][:4], [128, 0, 160, 32], atol=2)
    assert rows(answer, row)[0][5] == 0


@pytest.mark.parametrize("variant", ["", "_bls"])
@pytest.mark.parametrize(
    ("pipeline", "asked"),
    [
        (STRICT, {"damaged": "accept"}),
        (STRICT, {"damaged": " Accept "}),
        (LENIENT, {}),
        (LENIENT, {"damaged": "accept", "conf": "0.4"}),
    ],
)
def test_a_damaged_picture_is_looked_at_where_that_is_asked_for(
    server: Serving, variant: str, pipeline: str, asked: dict[str, Any]
) -> None:
    assert_shown(infer(server.url, pipeline + variant, [DAMAGED], **asked))
    batch = infer(server.url, pipeline + variant, [WHOLE, DAMAGED, NOTHING, b"text"], **asked)
    assert batch["image_status"].ravel().tolist() == [
        ImageStatus.OK,
        ImageStatus.DAMAGED,
        ImageStatus.CORRUPT,
        ImageStatus.UNSUPPORTED_FORMAT,
    ]
    assert_shown(batch, 1)
    assert batch["num_dets"].ravel()[2:].tolist() == [0, 0]


@pytest.mark.parametrize("variant", ["", "_bls"])
@pytest.mark.parametrize(
    ("pipeline", "asked"), [(STRICT, {}), (STRICT, {"conf": 0.4}), (LENIENT, {"damaged": "refuse"})]
)
def test_it_is_refused_where_it_is_not(
    server: Serving, variant: str, pipeline: str, asked: dict[str, Any]
) -> None:
    with pytest.raises(InferenceServerException, match=STATUS_SENTENCES[ImageStatus.CORRUPT]):
        infer(server.url, pipeline + variant, [DAMAGED], **asked)
    batch = infer(server.url, pipeline + variant, [WHOLE, DAMAGED], **asked)
    assert batch["image_status"].ravel().tolist() == [ImageStatus.OK, ImageStatus.CORRUPT]


@pytest.mark.parametrize("variant", ["", "_bls"])
def test_a_batch_of_which_nothing_else_can_be_read_reaches_the_network(
    server: Serving, variant: str
) -> None:
    answer = infer(server.url, STRICT + variant, [b"", DAMAGED], damaged="accept")
    assert answer["image_status"].ravel().tolist() == [ImageStatus.EMPTY, ImageStatus.DAMAGED]
    assert_shown(answer, 1)


@pytest.mark.parametrize("variant", ["", "_bls", "_stream"])
@pytest.mark.parametrize("value", ["maybe", "", True, 1, "accept,refuse", "x" * 5000])
def test_any_other_value_is_refused_in_words(server: Serving, variant: str, value: Any) -> None:
    def ask() -> object:
        model = STRICT + variant
        if variant != "_stream":
            return infer(server.url, model, [WHOLE], damaged=value)
        options = {"start": True, "end": True, "codec": "mjpeg", "damaged": value}
        with InferenceServerClient(server.url) as client:
            return packets.send(client, model, 9, WHOLE, **options)

    with pytest.raises(InferenceServerException) as refused:
        ask()
    assert refused.value.status() == "StatusCode.INVALID_ARGUMENT"
    assert "parameter damaged must be refuse or accept, got '" in refused.value.message()
    assert len(refused.value.message()) < 200


@pytest.mark.parametrize(
    ("pipeline", "asked", "status"),
    [
        (STRICT, {}, ImageStatus.CORRUPT_PACKET),
        (STRICT, {"damaged": "accept"}, ImageStatus.DAMAGED),
        (LENIENT, {}, ImageStatus.DAMAGED),
        (LENIENT, {"damaged": "refuse"}, ImageStatus.CORRUPT_PACKET),
    ],
)
def test_packets_of_mjpeg_likewise(
    server: Serving, pipeline: str, asked: dict[str, str], status: ImageStatus
) -> None:
    with InferenceServerClient(server.url) as client:
        answers = [
            packets.send(
                client,
                f"{pipeline}_stream",
                f"stream of {pipeline} {asked}",
                packet,
                start=number == 0,
                end=number == 3,
                timestamp=number,
                **(asked if number else {"codec": "mjpeg"}),
            )
            for number, packet in enumerate([WHOLE, DAMAGED, NOTHING, WHOLE])
        ]
    shown = status is ImageStatus.DAMAGED
    assert [packets.status(answer) for answer in answers] == [
        ImageStatus.OK,
        status,
        ImageStatus.CORRUPT_PACKET,
        ImageStatus.OK,
    ]
    assert [packets.index(answer) for answer in answers] == [0, 1 if shown else -1, -1, 1 + shown]
    assert packets.timestamp(answers[1]) == (1 if shown else -1)
    if shown:
        assert_shown(answers[1])


@pytest.mark.parametrize("reader", [f"{STRICT}_preprocess", f"{STRICT}_bls"])
def test_metrics_count_damaged_pictures(server: Serving, reader: str) -> None:
    def counted() -> tuple[float, float]:
        samples = scrape(server.metrics_port)
        own = {"model": reader, "format": "jpeg", "status": "damaged"}
        answerer = reader.replace("preprocess", "postprocess")
        return (
            total(samples, "framewire_images_total", **own),
            total(samples, "framewire_detections_total", model=answerer),
        )

    before = settled(counted)
    model = STRICT if reader.endswith("preprocess") else reader
    found = sum(
        int(infer(server.url, model, [DAMAGED], damaged="accept")["num_dets"][0, 0])
        for _ in range(3)
    )
    assert settled(counted, before) == (before[0] + 3, before[1] + found)


def settled(
    counted: Any, before: tuple[float, float] | None = None, timeout_s: float = 20
) -> tuple[float, float]:
    """What was counted, once it no longer changes; after ``before``, once that has changed."""
    last, until = None, time.monotonic() + timeout_s
    while time.monotonic() < until:
        now = counted()
        if now == last and now != before:
            return now
        last = now
        time.sleep(0.6)
    raise AssertionError(f"nothing new was counted: {last}")


def test_a_pipeline_says_what_it_does(server: Serving) -> None:
    with InferenceServerClient(server.url) as client:
        for name, says in ((STRICT, "refuse"), (LENIENT, "accept")):
            for model in (name, f"{name}_bls", f"{name}_stream"):
                config = client.get_model_config(model, as_json=True)["config"]
                assert config["parameters"]["damaged"]["string_value"] == says
            assert read_manifest(server.repository, name).damaged.value == says


@pytest.mark.parametrize("bls", [False, True])
def test_the_client_hands_it_on(server: Serving, bls: bool) -> None:
    with Detector(server.url, STRICT, bls=bls) as detector:
        found = detector.detect(DAMAGED, damaged="accept")
        assert (found.status, found.error) == (ImageStatus.DAMAGED, None)
        assert found.ok
        assert found.damaged
        assert [each.label for each in found] == ["red"]
        assert found.to_dict()["damaged"] is True
        whole = detector.detect(WHOLE, damaged="accept")
        assert not whole.damaged
        assert "damaged" not in whole.to_dict()
        with pytest.raises(BadImage):
            detector.detect(DAMAGED)
        with pytest.raises(InvalidRequestParameter, match="parameter damaged must be"):
            detector.detect(WHOLE, damaged="perhaps")
        batch = detector.detect_batch([WHOLE, DAMAGED, b""], damaged="accept")
        assert [each.status.name for each in batch] == ["OK", "DAMAGED", "EMPTY"]


def test_the_command_line_says_so(server: Serving, tmp_path: Path) -> None:
    file = tmp_path / "damaged.jpg"
    file.write_bytes(DAMAGED)
    command = [sys.executable, "-m", "thin_client.cli", "image", str(file), "--url", server.url]
    command += ["--model", STRICT]

    def run(*options: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*command, *options], capture_output=True, text=True, check=False)

    refused, shown = run(), run("--damaged", "accept")
    assert (refused.returncode, shown.returncode) == (1, 0)
    assert shown.stdout.startswith(f"{file}  256x256  damaged  1 detection\n")
    record = json.loads(run("--damaged", "accept", "--json").stdout)
    assert record["damaged"] is True
    assert len(record["detections"]) == 1
    assert run("--damaged", "perhaps").returncode == 2
    drawn = tmp_path / "drawn.png"
    assert run("--damaged", "accept", "--out", str(drawn)).returncode == 0
    picture = cv2.imread(str(drawn))
    assert picture.shape == (256, 256, 3)
    # A box is drawn around the square, and what is missing is grey.
    assert picture[0, 128:160].max() > 200
    assert len(np.unique(picture[-8:])) == 1
