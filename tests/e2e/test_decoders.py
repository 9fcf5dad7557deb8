"""Scaled decoding and the number of processes, served."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from builder.pipelines.repository import build_pipeline
from builder.serving.model_processes import stubs
from builder.settings import BuildSettings, Decoder
from tests import images
from tests.e2e.wire import infer, rows
from tests.serving import Serving, serving
from tests.tiny_detector import coloured_square, save_tiny_detector

# Eight times the tiny detector's input of 64.
SIDE = 512


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    folder = tmp_path_factory.mktemp("decoders")
    model = save_tiny_detector(folder / "tiny.onnx")
    for decoder, instances in ((Decoder.EXACT, 1), (Decoder.SCALED, 3)):
        settings = BuildSettings(decoder.value, conf=0.5, decoder=decoder, instances=instances)
        build_pipeline(model, folder / "repository", settings)
    with serving(folder / "repository") as running:
        yield running


def jpeg(picture: np.ndarray) -> bytes:
    return images.encoded(
        picture,
        ".jpg",
        *(cv2.IMWRITE_JPEG_QUALITY, 100),
        *(cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444),
    )


@pytest.mark.parametrize("model", ["exact", "exact_bls", "scaled", "scaled_bls"])
def test_a_large_picture_gives_boxes_in_its_own_pixels(server: Serving, model: str) -> None:
    picture = jpeg(coloured_square("red", size=SIDE, left=256, top=0, side=64))
    answer = infer(server.url, model, [picture])
    np.testing.assert_allclose(rows(answer)[:, :4], [[256, 0, 320, 64]], atol=0.5)
    assert answer["image_size"].tolist() == [[SIDE, SIDE]]


@pytest.mark.parametrize(("model", "found"), [("exact", 1), ("scaled", 0)])
def test_scaled_decoding_sees_the_mean_where_exact_decoding_sees_single_pixels(
    server: Serving, model: str, found: int
) -> None:
    """Of every 8x8 pixels only the four in the middle are red, which is what bilinear takes."""
    whole = coloured_square("red", size=SIDE, left=256, top=0, side=64)
    dots = np.zeros_like(whole)
    for row in (3, 4):
        for column in (3, 4):
            dots[row::8, column::8] = whole[row::8, column::8]
    for variant in (model, f"{model}_bls"):
        assert len(rows(infer(server.url, variant, [jpeg(dots)]))) == found, variant


def test_as_many_processes_decode_as_the_build_was_told(server: Serving) -> None:
    served = [each.model for each in stubs(server.triton_pid()).values()]
    for step in ("preprocess", "bls"):
        assert served.count(f"exact_{step}") == 1
        assert served.count(f"scaled_{step}") == 3
