from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from builder.errors import InvalidPipelineError
from builder.pipelines import validation
from builder.pipelines.config_files import read_config
from builder.pipelines.pipeline_spec import PipelineSpec
from builder.pipelines.repository import build_pipeline
from builder.pipelines.validation import validate_pipeline
from builder.settings import BuildSettings
from tests.tiny_detector import save_tiny_detector, tiny_detector
from thin_client.contract import model_names


@pytest.fixture
def spec(tmp_path: Path) -> PipelineSpec:
    model_file = save_tiny_detector(tmp_path / "tiny.onnx")
    return build_pipeline(model_file, tmp_path / "r", BuildSettings("tiny"))


@pytest.mark.parametrize(
    ("model", "old", "new", "complaint"),
    [
        ("tiny", "TYPE_STRING", "TYPE_NOTHING", "no valid config"),
        ("tiny", "max_batch_size: 16", "max_batch_size: 8", "does not survive"),
    ],
)
def test_validation_reads_configs_back(
    spec: PipelineSpec, tmp_path: Path, model: str, old: str, new: str, complaint: str
) -> None:
    config = tmp_path / "r" / model / "config.pbtxt"
    assert old in config.read_text()
    config.write_text(config.read_text().replace(old, new))
    with pytest.raises(InvalidPipelineError, match=complaint):
        validate_pipeline(tmp_path / "r", spec)


def test_validation_compares_the_network_with_its_config(
    spec: PipelineSpec, tmp_path: Path
) -> None:
    onnx.save(tiny_detector(), tmp_path / "r" / "tiny_network" / "1" / "model.onnx")
    with pytest.raises(InvalidPipelineError, match="promises frame"):
        validate_pipeline(tmp_path / "r", spec)


def test_validation_finds_steps_that_do_not_fit(spec: PipelineSpec, tmp_path: Path) -> None:
    configs = {name: read_config(tmp_path / "r" / name) for name in model_names("tiny").all}
    validation._check_steps(configs, "tiny")
    configs["tiny_network"].output[0].dims[1] += 1
    with pytest.raises(InvalidPipelineError, match="the tensor candidates"):
        validation._check_steps(configs, "tiny")
    configs["tiny_network"].output[0].name = "other"
    with pytest.raises(InvalidPipelineError, match="does not have"):
        validation._check_steps(configs, "tiny")
