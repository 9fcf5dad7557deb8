"""Which values are tried, and which are refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from builder.errors import SettingsError
from builder.pipelines.manifest import Manifest, read_manifest
from builder.pipelines.repository import build_pipeline
from builder.settings import BuildSettings, Decoder, Precision
from builder.tuning.parameters import present_choice, search_space
from tests.tiny_detector import save_tiny_detector, tiny_detector


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return built(tmp_path_factory.mktemp("space"), max_batch=8, instances=3)


def built(folder: Path, *, batch: int | str = "batch", **options: object) -> Manifest:
    insists = batch != "batch"
    detector = tiny_detector(batch=batch, insists_on_batch=insists)
    model = save_tiny_detector(folder / "tiny.onnx", detector)
    build_pipeline(model, folder / "r", BuildSettings("tiny", **options))
    return read_manifest(folder / "r", "tiny")


def test_what_is_there_is_among_what_is_tried(manifest: Manifest) -> None:
    assert present_choice(manifest).values == {
        "decoder": "exact",
        "instances": 3,
        "decode_threads": 0,
        "max_batch": 8,
        "precision": "fp32",
    }
    assert search_space(manifest, 4) == {
        "precision": (Precision.FP32,),
        "decoder": (Decoder.EXACT,),
        "instances": [1, 2, 3, 4, 8],
        "decode_threads": [0, 1, 4],
        "max_batch": [8, 16],
    }


def test_what_is_named_is_tried(manifest: Manifest) -> None:
    space = search_space(
        manifest,
        4,
        instances=(6,),
        decode_threads=(2, 5),
        max_batch=(2, 4),
        allow_scaled=True,
        precisions=(Precision.BF16, Precision.FP32),
    )
    assert space == {
        "precision": (Precision.FP32, Precision.BF16),
        "decoder": (Decoder.EXACT, Decoder.SCALED),
        "instances": [3, 6],
        "decode_threads": [0, 2, 5],
        "max_batch": [2, 4, 8],
    }


def test_pixels_change_only_with_leave(manifest: Manifest) -> None:
    assert search_space(manifest, 2)["decoder"] == (Decoder.EXACT,)
    scaled = replace(manifest, decoder=Decoder.SCALED)
    assert search_space(scaled, 2)["decoder"] == (Decoder.SCALED,)


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ({"instances": (0,)}, "--instances must be from 1 to 256, got 0"),
        ({"decode_threads": (-1,)}, "--decode-threads must be from 0 to 256, got -1"),
        ({"max_batch": (2048,)}, "--max-batch must be from 1 to 1024, got 2048"),
    ],
)
def test_values_out_of_range_are_refused(
    manifest: Manifest, named: dict[str, tuple[int, ...]], said: str
) -> None:
    with pytest.raises(SettingsError, match=said):
        search_space(manifest, 2, **named)  # type: ignore[arg-type]


def test_no_batch_beyond_that_of_a_detector_with_a_fixed_one(tmp_path: Path) -> None:
    fixed = built(tmp_path, batch=4)
    assert search_space(fixed, 2)["max_batch"] == [4]
    with pytest.raises(SettingsError, match="at most 4 for tiny, got 8: its detector was exported"):
        search_space(fixed, 2, max_batch=(2, 8))


def test_a_network_in_float16_is_brought_to_no_other_precision(tmp_path: Path) -> None:
    half = built(tmp_path, precision=Precision.FP16)
    assert search_space(half, 2, precisions=(Precision.FP16,))["precision"] == (Precision.FP16,)
    with pytest.raises(SettingsError, match=r"built in fp16.* no way to bf16.*--precision fp32"):
        search_space(half, 2, precisions=(Precision.FP16, Precision.BF16))
