"""The baseline does the same job: with the same stub scene it finds the same boxes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import tritonclient.grpc as triton

from builder.benchmark.repositories import stub_pipeline, usual_recipe
from builder.benchmark.serving import measured_server
from builder.pipelines.config_files import read_config
from builder.pipelines.manifest import read_manifest
from builder.pipelines.repository import SETTINGS_FILE
from tests.conftest import ROOT

REPOSITORY, BASELINES = ROOT / "model_repository", ROOT / "benchmarks"
PICTURE = ROOT / "samples" / "warehouse.jpg"
PICTURE_SIZE = (1920, 1080)
OBJECTS = 20


def boxes_of(url: str, model: str) -> np.ndarray:
    sent = triton.InferInput("image", [1, 1], "BYTES")
    sent.set_data_from_numpy(np.array([[PICTURE.read_bytes()]], object))
    with triton.InferenceServerClient(url) as client:
        answer = client.infer(model, [sent])
    count = answer.as_numpy("num_dets")[0, 0]
    # The recipe leaves boxes in the padding where they are, as most do.
    boxes = answer.as_numpy("det_boxes")[0, :count].clip(0, PICTURE_SIZE * 2)
    return boxes[np.lexsort(boxes.round().T)]


def test_it_finds_what_the_pipeline_finds(tmp_path: Path) -> None:
    manifest = read_manifest(REPOSITORY, "codes")
    ours = stub_pipeline(REPOSITORY, manifest, BASELINES, tmp_path / "ours")
    # The stub finds the same wherever the picture lies, and the recipe's frames are squares.
    for model in ("codes_preprocess", "codes_bls"):
        file = ours / model / str(manifest.version) / SETTINGS_FILE
        file.write_text(json.dumps({**json.loads(file.read_text()), "shape": "square"}))
    usual = usual_recipe(BASELINES, tmp_path / "usual")
    with measured_server(ours) as server:
        found = [boxes_of(server.target.grpc_url, model) for model in ("codes", "codes_bls")]
    with measured_server(usual, tuned=False) as server:
        expected = boxes_of(server.target.grpc_url, "usual")
    assert len(expected) == OBJECTS
    for boxes in found:
        np.testing.assert_allclose(boxes, expected, atol=0.01)


def test_without_batching_no_model_has_a_batcher(tmp_path: Path) -> None:
    manifest = read_manifest(REPOSITORY, "codes")
    with_batching, without = (
        stub_pipeline(REPOSITORY, manifest, BASELINES, tmp_path / str(batching), batching=batching)
        for batching in (True, False)
    )
    assert read_config(with_batching / "codes_network").HasField("dynamic_batching")
    for model in without.iterdir():
        assert not read_config(model).HasField("dynamic_batching")
