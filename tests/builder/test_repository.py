from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from builder import __version__
from builder.errors import InvalidPipelineError, PipelineExistsError, RepositoryError, SettingsError
from builder.pipelines.config_files import read_config
from builder.pipelines.manifest import read_manifest
from builder.pipelines.pipeline_models import Streams, has_streams, models_in, wanted_models
from builder.pipelines.pipeline_spec import PipelineSpec
from builder.pipelines.repository import build_pipeline
from builder.pipelines.validation import validate_pipeline
from builder.settings import BuildSettings, Decoder, Precision, Runtime
from tests.tiny_detector import LABELS, save_tiny_detector, tiny_detector
from thin_client.contract import contract_fingerprint, model_names, stream_fingerprint


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    return save_tiny_detector(tmp_path / "tiny.onnx")


def build(
    model_file: Path, target: Path, name: str = "tiny", *, replace: bool = False, **options: object
) -> PipelineSpec:
    return build_pipeline(model_file, target, BuildSettings(name, **options), replace=replace)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_a_build_makes_the_five_models(model_file: Path, tmp_path: Path) -> None:
    target = tmp_path / "new" / "repository"
    build(model_file, target)
    assert sorted(path.name for path in target.iterdir()) == sorted(model_names("tiny").all)
    assert list(target.parent.iterdir()) == [target]


def test_configs_say_what_clients_and_triton_need(model_file: Path, tmp_path: Path) -> None:
    build(model_file, tmp_path / "r", conf=0.4, max_det=50, candidates=60, max_batch=4)
    ensemble = read_config(tmp_path / "r" / "tiny")
    parameters = {name: value.string_value for name, value in ensemble.parameters.items()}
    assert parameters["contract_fingerprint"] == contract_fingerprint()
    assert json.loads(parameters["labels"]) == list(LABELS)
    assert (parameters["input_width"], parameters["conf"], parameters["max_det"]) == (
        "64",
        "0.4",
        "50",
    )
    assert ensemble.max_batch_size == 4
    dims = {output.name: list(output.dims) for output in ensemble.output}
    assert dims["det_boxes"] == [50, 4]
    network = read_config(tmp_path / "r" / "tiny_network")
    # A version of another size may stand beside this one while it replaces it.
    assert list(network.input[0].dims) == [-1, -1, 3]
    # Requests of several shapes are taken together.
    assert network.input[0].allow_ragged_batch
    assert list(network.output[0].dims) == [-1, 6]
    assert network.dynamic_batching.max_queue_delay_microseconds == 0
    assert (tmp_path / "r" / "tiny" / "1" / "labels.txt").read_text().split() == list(LABELS)


def test_a_fixed_batch_limits_every_model(tmp_path: Path) -> None:
    model_file = save_tiny_detector(
        tmp_path / "tiny.onnx", tiny_detector(batch=1, insists_on_batch=True)
    )
    build(model_file, tmp_path / "r")
    for name in model_names("tiny").all:
        assert read_config(tmp_path / "r" / name).max_batch_size == 1


def test_with_streams_there_are_three_models_more(model_file: Path, tmp_path: Path) -> None:
    target, names = tmp_path / "r", model_names("tiny")
    build(model_file, target, stream=True, max_streams=9, stream_idle_s=2.5, instances=3)
    assert sorted(path.name for path in target.iterdir()) == sorted([*names.all, *names.streaming])
    public, decode = read_config(target / names.stream), read_config(target / names.decode)
    parameters = {key: value.string_value for key, value in public.parameters.items()}
    assert parameters["contract_fingerprint"] == stream_fingerprint() != contract_fingerprint()
    assert parameters["max_streams"] == "9"
    assert parameters["stream_idle_s"] == "2.5"
    assert [step.model_name for step in public.ensemble_scheduling.step] == [
        *(names.decode, names.detect)
    ]
    assert decode.sequence_batching.max_sequence_idle_microseconds == 2_500_000
    assert decode.instance_group[0].count == 3
    assert read_manifest(target, "tiny").stream


def test_versions_of_a_pipeline_have_streams_or_none_has(model_file: Path, tmp_path: Path) -> None:
    build(model_file, tmp_path / "r")
    with pytest.raises(SettingsError, match=r"built without --stream.* leave it out"):
        build(model_file, tmp_path / "r", stream=True)
    build(model_file, tmp_path / "r", stream=True, replace=True)
    build(model_file, tmp_path / "r", stream=True)
    assert read_manifest(tmp_path / "r", "tiny").version == 2
    with pytest.raises(SettingsError, match=r"built with --stream.* add it, or begin anew"):
        build(model_file, tmp_path / "r")
    build(model_file, tmp_path / "r", replace=True)
    assert sorted(path.name for path in (tmp_path / "r").iterdir()) == sorted(
        model_names("tiny").all
    )


def test_streams_of_before_there_was_a_detect_step_begin_anew(
    model_file: Path, tmp_path: Path
) -> None:
    target = tmp_path / "r"
    build(model_file, target, stream=True)
    shutil.rmtree(target / model_names("tiny").detect)
    with pytest.raises(PipelineExistsError, match=r"no whole pipeline.*--replace"):
        build(model_file, target, stream=True)
    build(model_file, target, stream=True, replace=True)
    assert (target / model_names("tiny").detect).is_dir()


def without_detect_step(repository: Path) -> None:
    """Make a pipeline's streams those of before there was a detect step, by their models."""
    names = model_names("tiny")
    shutil.rmtree(repository / names.detect)
    for config in (repository / names.stream).rglob("config.pbtxt"):
        config.write_text(config.read_text().replace(names.detect, names.postprocess))


def test_streams_without_a_detect_step_are_whole_and_have_no_new_versions(
    model_file: Path, tmp_path: Path
) -> None:
    target, names = tmp_path / "r", model_names("tiny")
    build(model_file, target, stream=True)
    assert has_streams(target, "tiny") == Streams.DETECT
    assert names.detect in models_in(target, "tiny")
    without_detect_step(target)
    assert has_streams(target, "tiny") == Streams.NETWORK
    old = {*names.all, names.stream, names.decode}
    assert set(models_in(target, "tiny")) == set(wanted_models(target, "tiny")) == old
    with pytest.raises(SettingsError, match=r"before they had a detect step.*--replace"):
        build(model_file, target, stream=True)
    with pytest.raises(SettingsError, match="was built with --stream"):
        build(model_file, target)


def test_pipelines_live_side_by_side_with_other_models(model_file: Path, tmp_path: Path) -> None:
    target = tmp_path / "r"
    (target / "somebody_elses" / "1").mkdir(parents=True)
    (target / "somebody_elses" / "config.pbtxt").write_text("name: 'somebody_elses'")
    build(model_file, target, "one")
    before = contents(target)
    build(model_file, target, "two")
    after = contents(target)
    assert {name: after[name] for name in before} == before
    assert {name.split("/")[0] for name in after} == {
        "somebody_elses",
        *model_names("one").all,
        *model_names("two").all,
    }


def test_one_foreign_model_with_a_name_of_ours_stops_the_build(
    model_file: Path, tmp_path: Path
) -> None:
    mine = tmp_path / "r" / "tiny_network"
    mine.mkdir(parents=True)
    (mine / "precious").write_text("weights")
    with pytest.raises(PipelineExistsError, match="tiny_network"):
        build(model_file, tmp_path / "r")
    assert contents(tmp_path / "r") == {"tiny_network/precious": b"weights"}


def test_a_file_where_the_repository_should_be_is_refused(model_file: Path) -> None:
    with pytest.raises(RepositoryError, match="is a file"):
        build(model_file, model_file)


def test_a_name_too_long_for_the_file_system_is_refused(model_file: Path, tmp_path: Path) -> None:
    with pytest.raises(RepositoryError, match="File name too long"):
        build(model_file, tmp_path / ("long" * 100))


def test_written_configs_are_canonical_protobuf_text(model_file: Path, tmp_path: Path) -> None:
    build(model_file, tmp_path / "r")
    for name in model_names("tiny").all:
        text = (tmp_path / "r" / name / "config.pbtxt").read_text()
        parsed = text_format.Parse(text, pb.ModelConfig())
        assert text_format.MessageToString(parsed) == text


def test_the_manifest_says_how_it_was_built(model_file: Path, tmp_path: Path) -> None:
    build(
        *(model_file, tmp_path / "r"),
        **{"conf": 0.4, "candidates": 60, "max_det": 50, "max_batch": 4},
        **{"decoder": Decoder.SCALED, "instances": 3},
    )
    manifest = read_manifest(tmp_path / "r", "tiny")
    assert (manifest.decoder, manifest.instances) == (Decoder.SCALED, 3)
    assert manifest.source == "tiny.onnx"
    assert manifest.source_sha256 == hashlib.sha256(model_file.read_bytes()).hexdigest()
    assert (manifest.name, manifest.version, manifest.builder_version) == ("tiny", 1, __version__)
    assert (manifest.head, manifest.width, manifest.height) == ("yolov8", 64, 64)
    assert (manifest.candidates, manifest.max_batch, manifest.num_classes) == (60, 4, len(LABELS))
    assert (manifest.conf, manifest.iou, manifest.max_det) == (0.4, 0.7, 50)
    assert (manifest.precision, manifest.runtime) == (Precision.FP32, Runtime.PYTHON)
    text = json.loads((tmp_path / "r" / "tiny" / "1" / "pipeline.json").read_text())
    assert text["runtime"] == "python"


def test_a_manifest_of_the_first_builders_is_read(model_file: Path, tmp_path: Path) -> None:
    build(model_file, tmp_path / "r", instances=3)
    file = tmp_path / "r" / "tiny" / "1" / "pipeline.json"
    known = json.loads(file.read_text())
    del known["decoder"], known["instances"]
    file.write_text(json.dumps(known))
    manifest = read_manifest(tmp_path / "r", "tiny")
    assert (manifest.decoder, manifest.instances) == (Decoder.EXACT, 1)


def test_a_damaged_manifest_is_told(model_file: Path, tmp_path: Path) -> None:
    build(model_file, tmp_path / "r")
    (tmp_path / "r" / "tiny" / "1" / "pipeline.json").write_text('{"name": "tiny"}')
    with pytest.raises(InvalidPipelineError, match=r"damaged.*build the pipeline again"):
        read_manifest(tmp_path / "r", "tiny")


def test_a_pipeline_that_is_not_there_is_told_with_those_that_are(
    model_file: Path, tmp_path: Path
) -> None:
    build(model_file, tmp_path / "r", "one")
    with pytest.raises(RepositoryError, match="no pipeline two, its pipelines are: one"):
        read_manifest(tmp_path / "r", "two")
    with pytest.raises(RepositoryError, match="no version 7 of one, its versions are: 1"):
        read_manifest(tmp_path / "r", "one", 7)


def test_a_build_that_is_not_approved_changes_nothing(model_file: Path, tmp_path: Path) -> None:
    build(model_file, tmp_path / "r", conf=0.4)
    before = contents(tmp_path / "r")

    def refuse(staged: Path, spec: PipelineSpec) -> None:
        # What is shown is the next version, and nothing else.
        assert sorted(path.name for path in staged.iterdir()) == sorted(spec.names.all)
        validate_pipeline(staged, spec)
        assert spec.version == 2
        raise SettingsError("not this one")

    with pytest.raises(SettingsError, match="not this one"):
        build_pipeline(model_file, tmp_path / "r", BuildSettings("tiny"), approve=refuse)
    assert contents(tmp_path / "r") == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["r", "tiny.onnx"]


def test_no_python_can_write_its_bytecode_into_a_version(model_file: Path, tmp_path: Path) -> None:
    build(model_file, tmp_path / "r")
    code = tmp_path / "r" / "tiny_postprocess" / "1"
    before = [path.stat().st_mtime_ns for path in (code, *sorted(code.iterdir()))]
    ran = subprocess.run(
        [sys.executable, "-B", "-c", "import sys; sys.dont_write_bytecode = False; import nms"],
        cwd=code,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stderr == ""
    assert [path.stat().st_mtime_ns for path in (code, *sorted(code.iterdir()))] == before
