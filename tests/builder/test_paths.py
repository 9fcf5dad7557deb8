"""Neither names nor files in configs, manifests and links lead out of a model repository."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from onnx import NodeProto, TensorProto, helper

from builder.cli import main as framewire
from builder.detectors.onnx_file import load_onnx
from builder.errors import InvalidPipelineError, ModelFileError, RepositoryError
from builder.pipelines.config_files import CONFIG_FILE, config_text, parse_config
from builder.pipelines.manifest import is_pipeline, read_manifest
from builder.pipelines.repository import build_pipeline
from builder.serving.repository_paths import check_paths
from builder.settings import BuildSettings
from tests.tiny_detector import save_tiny_detector, tiny_detector

OUTSIDE = ["../secret.txt", "/etc/passwd", "1/../../../secret.txt"]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / "secret.txt").write_text("secret")
    model = save_tiny_detector(tmp_path / "tiny.onnx")
    build_pipeline(model, tmp_path / "r", BuildSettings("tiny"))
    return tmp_path / "r"


def change(repository: Path, model: str, edit: Callable[..., object]) -> None:
    file = repository / model / CONFIG_FILE
    config = parse_config(file)
    edit(config)
    file.write_text(config_text(config))


def test_what_the_builder_makes_stays_inside(repository: Path) -> None:
    check_paths(repository)


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_labels_file_outside_is_refused(repository: Path, name: str) -> None:
    def edit(config: object) -> None:
        for output in config.output:  # type: ignore[attr-defined]
            output.label_filename = name

    change(repository, "tiny", edit)
    with pytest.raises(RepositoryError, match=r"config of tiny names the file .* outside"):
        check_paths(repository)


@pytest.mark.parametrize("name", OUTSIDE)
def test_other_files_outside_are_refused(repository: Path, name: str) -> None:
    def edit_network(config: object) -> None:
        config.default_model_filename = name  # type: ignore[attr-defined]

    def edit_bls(config: object) -> None:
        config.parameters["EXECUTION_ENV_PATH"].string_value = name  # type: ignore[attr-defined]

    def edit_preprocess(config: object) -> None:
        warmup = config.model_warmup.add(name="w", batch_size=1)  # type: ignore[attr-defined]
        warmup.inputs["image"].input_data_file = name

    for model, edit in (
        ("tiny_network", edit_network),
        ("tiny_bls", edit_bls),
        ("tiny_preprocess", edit_preprocess),
    ):
        before = (repository / model / CONFIG_FILE).read_text()
        change(repository, model, edit)
        with pytest.raises(RepositoryError, match=f"config of {model} names the file"):
            check_paths(repository)
        (repository / model / CONFIG_FILE).write_text(before)


def test_a_config_of_another_name_is_refused(repository: Path) -> None:
    def edit(config: object) -> None:
        config.name = "../elsewhere"  # type: ignore[attr-defined]

    change(repository, "tiny_bls", edit)
    with pytest.raises(RepositoryError, match="a model's name is that of its folder"):
        check_paths(repository)


def test_a_link_out_of_the_repository_is_refused(repository: Path) -> None:
    link = repository / "tiny" / "1" / "notes.txt"
    link.symlink_to(repository.parent / "secret.txt")
    with pytest.raises(RepositoryError, match=r"tiny/1/notes\.txt .* is a link to a file outside"):
        check_paths(repository)


def test_a_model_that_is_a_link_out_of_the_repository_is_refused(repository: Path) -> None:
    elsewhere = repository.parent / "elsewhere"
    (repository / "tiny_bls").rename(elsewhere)
    (repository / "tiny_bls").symlink_to(elsewhere)
    with pytest.raises(RepositoryError, match=r"tiny_bls in .* is a link"):
        check_paths(repository)


def test_a_link_within_the_repository_is_let_pass(repository: Path) -> None:
    (repository / "tiny" / "1" / "same.txt").symlink_to(repository / "tiny" / "1" / "labels.txt")
    check_paths(repository)


def test_serve_refuses_it_before_anything_starts(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (repository / "tiny" / "1" / "notes.txt").symlink_to(repository.parent / "secret.txt")
    assert framewire(["serve", "--repository", str(repository)]) == 1
    said = capsys.readouterr().err
    assert "notes.txt" in said
    assert said.count("\n") == 1
    assert "secret" not in said


@pytest.mark.parametrize("name", ["../r/tiny", "/etc", "tiny/../tiny", ".", "..", "tiny\n", ""])
def test_a_path_is_no_name_of_a_pipeline(
    repository: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not is_pipeline(repository, name)
    with pytest.raises(RepositoryError, match="has no pipeline"):
        read_manifest(repository, name)
    for command in (["rollback", name], ["prune", name], ["check", "--name", name]):
        if name:
            assert framewire([*command, "--repository", str(repository)]) == 1, command


@pytest.mark.parametrize("changed", [{"name": "../../elsewhere"}, {"version": 7}])
def test_a_manifest_of_something_else_is_damaged(
    repository: Path, changed: dict[str, object]
) -> None:
    file = repository / "tiny" / "1" / "pipeline.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changed))
    with pytest.raises(InvalidPipelineError, match="is damaged"):
        read_manifest(repository, "tiny")


@pytest.mark.parametrize("location", ["../weights.bin", "/etc/passwd"])
def test_weights_outside_of_the_models_folder_are_not_read(tmp_path: Path, location: str) -> None:
    model = tiny_detector()
    tensor = model.graph.initializer[0]
    size = len(tensor.raw_data)
    (tmp_path / "weights.bin").write_bytes(tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    tensor.external_data.add(key="length", value=str(size))
    (tmp_path / "models").mkdir()
    with pytest.raises(ModelFileError, match="outside of its own folder"):
        load_onnx(save_tiny_detector(tmp_path / "models" / "model.onnx", model))


def a_branch_with(tensor: TensorProto) -> NodeProto:
    """A node that runs one graph or another, one of which holds a tensor."""
    value = helper.make_tensor_value_info("chosen", TensorProto.FLOAT, None)
    branches = [
        helper.make_graph(
            [helper.make_node("Identity", ["held"], ["chosen"])], name, [], [value], [held]
        )
        for name, held in (("then", tensor), ("else", helper.make_tensor("held", 1, [1], [0.0])))
    ]
    return helper.make_node(
        "If", ["condition"], ["chosen_one"], then_branch=branches[0], else_branch=branches[1]
    )


def test_weights_outside_are_not_read_from_within_a_branch_either(tmp_path: Path) -> None:
    tensor = helper.make_tensor("held", TensorProto.FLOAT, [1], b"\0\0\0\0", raw=True)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../weights.bin")
    (tmp_path / "weights.bin").write_bytes(b"\0\0\0\0")
    model = tiny_detector()
    model.graph.initializer.append(helper.make_tensor("condition", TensorProto.BOOL, [], [True]))
    model.graph.node.append(a_branch_with(tensor))
    (tmp_path / "models").mkdir()
    with pytest.raises(ModelFileError, match="outside of its own folder"):
        load_onnx(save_tiny_detector(tmp_path / "models" / "model.onnx", model))


@pytest.mark.parametrize("name", ["../../tmp/backend", "/etc/backend"])
@pytest.mark.parametrize("field", ["backend", "runtime", "platform"])
def test_a_library_outside_is_refused(repository: Path, field: str, name: str) -> None:
    change(repository, "tiny_network", lambda config: setattr(config, field, name))
    with pytest.raises(RepositoryError, match=r"config of tiny_network names the file .* outside"):
        check_paths(repository)


def test_an_agent_outside_is_refused(repository: Path) -> None:
    def edit(config: object) -> None:
        config.model_repository_agents.agents.add(name="../agent")  # type: ignore[attr-defined]

    change(repository, "tiny_network", edit)
    with pytest.raises(RepositoryError, match=r"config of tiny_network names the file '../agent'"):
        check_paths(repository)
