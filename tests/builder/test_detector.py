from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from builder.detectors.detector import read_detector
from builder.detectors.heads import Head
from builder.errors import LabelsError, ModelFileError, UnknownHeadError
from tests.tiny_detector import LABELS, save_tiny_detector, tiny_detector


def read(tmp_path: Path, **options: object):
    return read_detector(save_tiny_detector(tmp_path / "model.onnx", tiny_detector(**options)))


def test_size_labels_and_batch_come_from_graph_and_metadata(tmp_path: Path) -> None:
    detector = read(tmp_path, width=96, height=64)
    assert detector.head == Head.YOLOV8
    assert (detector.width, detector.height) == (96, 64)
    assert detector.labels == LABELS
    assert detector.fixed_batch is None
    assert detector.boxes == 12 * 8 + 6 * 4 + 3 * 2
    assert not detector.finished


def test_an_open_size_is_that_of_the_metadata(tmp_path: Path) -> None:
    detector = read(tmp_path, width=96, height=64, dynamic_size=True)
    assert (detector.width, detector.height) == (96, 64)
    metadata = {"imgsz": "320", "names": str(dict(enumerate(LABELS)))}
    detector = read(tmp_path, dynamic_size=True, metadata=metadata)
    assert (detector.width, detector.height) == (320, 320)


def test_an_open_size_can_be_chosen_and_a_fixed_one_not(tmp_path: Path) -> None:
    path = save_tiny_detector(tmp_path / "open.onnx", tiny_detector(dynamic_size=True))
    detector = read_detector(path, size=(128, 96))
    assert (detector.width, detector.height) == (128, 96)
    path = save_tiny_detector(tmp_path / "fixed.onnx", tiny_detector(96, 64))
    assert read_detector(path, size=(96, 64)).width == 96
    with pytest.raises(ModelFileError, match=r"96x64 only, not 64x96: leave --size out"):
        read_detector(path, size=(64, 96))


@pytest.mark.parametrize("batch", [1, 4])
def test_a_fixed_batch_is_noticed(tmp_path: Path, batch: int) -> None:
    detector = read(tmp_path, batch=batch, insists_on_batch=True)
    assert detector.fixed_batch == batch
    assert "export it with dynamic=True" in detector.one_batch


@pytest.mark.parametrize("batch", [1, 4])
def test_a_fixed_batch_is_opened(tmp_path: Path, batch: int) -> None:
    detector = read(tmp_path, batch=batch)
    assert detector.fixed_batch is None
    assert detector.one_batch == ""


@pytest.mark.parametrize("size", [0, -1])
def test_a_batch_of_zero_or_less_means_any(tmp_path: Path, size: int) -> None:
    model = tiny_detector()
    for value in (model.graph.input[0], model.graph.output[0]):
        value.type.tensor_type.shape.dim[0].dim_value = size
    detector = read_detector(save_tiny_detector(tmp_path / "model.onnx", model))
    assert detector.fixed_batch is None


@pytest.mark.parametrize("imgsz", ["[0, 0]", "-5", "[33, 64]", "[8224, 64]"])
def test_a_size_no_network_can_have_is_refused(tmp_path: Path, imgsz: str) -> None:
    with pytest.raises(ModelFileError, match="another imgsz"):
        read(tmp_path, dynamic_size=True, metadata={"imgsz": imgsz})


@pytest.mark.parametrize(
    "names",
    [
        "{0: 'no', 1: '10', 2: 'it\\'s'}",
        "['no', '10', \"it's\"]",
        '{"0": "no", "1": "10", "2": "it\'s"}',
        '["no", 10, "it\'s"]',
        "0: no\n1: 10\n2: it's\n",
        "- no\n- 10\n- it's\n",
        "{2: it's, 0: no, 1: 10}",
    ],
)
def test_names_are_read_as_python_json_and_yaml(tmp_path: Path, names: str) -> None:
    assert read(tmp_path, metadata={"names": names}).labels == ("no", "10", "it's")


@pytest.mark.parametrize("names", ["null", "[[1], 2, 3]", '{"0": {}, "1": "b", "2": "c"}', "a: &x"])
def test_names_that_cannot_be_read_are_shown(tmp_path: Path, names: str) -> None:
    with pytest.raises(LabelsError, match=r"`names` in its metadata, .* in Python, JSON or YAML"):
        read(tmp_path, metadata={"names": names})


def test_nothing_of_the_metadata_is_evaluated_or_built(tmp_path: Path) -> None:
    made = tmp_path / "made"
    for names in (
        f"open({str(made)!r}, 'w')",
        f"!!python/object/apply:os.mkdir [{str(made)!r}]",
    ):
        with pytest.raises(LabelsError):
            read(tmp_path, metadata={"names": names})
    assert not made.exists()


@pytest.mark.parametrize("imgsz", ["[64, 96]", "- 64\n- 96\n", "(64, 96.0)", '["64", "96"]'])
@pytest.mark.parametrize("stride", ["32", "32.0", "[8, 16, 32]", '"32"'])
def test_size_and_stride_are_read_as_python_json_and_yaml(
    tmp_path: Path, imgsz: str, stride: str
) -> None:
    metadata = {"imgsz": imgsz, "stride": stride, "names": str(dict(enumerate(LABELS)))}
    detector = read(tmp_path, dynamic_size=True, metadata=metadata)
    assert (detector.width, detector.height) == (96, 64)
    with pytest.raises(ModelFileError, match="stride 32"):
        read(tmp_path, dynamic_size=True, metadata=metadata | {"imgsz": "[48, 96]"})


def test_labels_stay_on_one_line_each(tmp_path: Path) -> None:
    names = {0: "two\nlines", 1: "", 2: "half a pair \ud800"}
    labels = read(tmp_path, metadata={"names": ascii(names)}).labels
    assert labels == ("two lines", "unnamed", "half a pair ?")


def test_an_input_that_is_not_of_floats_is_refused(tmp_path: Path) -> None:
    model = tiny_detector()
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.STRING
    with pytest.raises(ModelFileError, match="of floats"):
        read_detector(save_tiny_detector(tmp_path / "model.onnx", model))


@pytest.mark.parametrize(
    "names",
    [
        None,
        "not a dict",
        "{}",
        "{1: 'a', 2: 'b', 3: 'c'}",
        "{0: 'a', '1': 'b', None: 'c'}",
        "{[]: 1}",
        "-" * 100_000 + "1",
    ],
    ids=lambda names: str(names)[:30],
)
def test_without_usable_names_the_classes_must_be_named_or_numbered(
    tmp_path: Path, names: str | None
) -> None:
    metadata = {} if names is None else {"names": names}
    path = save_tiny_detector(tmp_path / "model.onnx", tiny_detector(metadata=metadata))
    with pytest.raises(LabelsError, match=r"no class names for its 3 classes.*--number-classes"):
        read_detector(path)
    detector = read_detector(path, number_classes=True)
    assert detector.labels == ("class_0", "class_1", "class_2")
    assert not detector.labels_are_names
    assert read_detector(path, labels=("a", "b", "c")).labels == ("a", "b", "c")


def test_names_of_a_file_go_before_those_of_the_metadata(tmp_path: Path) -> None:
    path = save_tiny_detector(tmp_path / "model.onnx")
    assert read_detector(path, labels=("a", "b", "c")).labels == ("a", "b", "c")


def test_names_must_be_as_many_as_classes(tmp_path: Path) -> None:
    path = save_tiny_detector(tmp_path / "model.onnx")
    with pytest.raises(LabelsError, match=r"has 3 classes and --labels names 2: give exactly 3"):
        read_detector(path, labels=("a", "b"))
    with pytest.raises(LabelsError, match=r"3 classes and its metadata names 1"):
        read(tmp_path, metadata={"names": "{0: 'only one'}"})


def test_a_model_for_another_task_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="task 'segment'"):
        read(tmp_path, metadata={"task": "segment"})


@pytest.mark.parametrize(
    ("shape", "shown"),
    [
        (["batch", 30, 5], r"output0 \[\?, 30, 5\]"),
        (["batch", 1000], r"output0 \[\?, 1000\]"),
        (["batch", 4, 8400], r"output0 \[\?, 4, 8400\]"),
        (["batch", 2**62, 2**63 - 1], r"output0 \[\?, \d+, \d+\]"),
    ],
)
def test_an_unknown_layout_is_refused_with_the_shapes_seen(
    tmp_path: Path, shape: list[int | str], shown: str
) -> None:
    model = tiny_detector()
    output = helper.make_tensor_value_info("output0", TensorProto.FLOAT, shape)
    model.graph.output[0].CopyFrom(output)
    with pytest.raises(UnknownHeadError, match=shown):
        read_detector(save_tiny_detector(tmp_path / "model.onnx", model))


def test_a_model_that_takes_no_picture_is_refused(tmp_path: Path) -> None:
    model = tiny_detector()
    model.graph.input[0].CopyFrom(
        helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 3])
    )
    with pytest.raises(ModelFileError, match="one image tensor"):
        read_detector(save_tiny_detector(tmp_path / "model.onnx", model))


def test_an_old_opset_is_refused_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"opset 10; Framewire reads 11 to.*opset=17"):
        read(tmp_path, opset=10)


def test_an_opset_newer_than_onnx_itself_is_refused(tmp_path: Path) -> None:
    model = tiny_detector()
    model.opset_import[0].version = 99
    with pytest.raises(ModelFileError, match=r"not a valid ONNX model.*99|opset 99"):
        read_detector(save_tiny_detector(tmp_path / "model.onnx", model))


@pytest.mark.parametrize(
    "content", [b"", b"this is no protobuf", onnx.ModelProto().SerializeToString()]
)
def test_a_damaged_file_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=r"not a valid ONNX model|not an ONNX file") as refusal:
        read_detector(path)
    assert "\n" not in str(refusal.value)


def test_a_missing_file_and_another_kind_of_file_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="no model file"):
        read_detector(tmp_path / "missing.onnx")
    with pytest.raises(ModelFileError, match="no model file"):
        read_detector(tmp_path / f"{'long' * 100}.onnx")
    weights = tmp_path / "weights.safetensors"
    weights.write_bytes(b"PK")
    with pytest.raises(ModelFileError, match=r"not an \.onnx or \.pt file"):
        read_detector(weights)


def test_weights_in_another_file_are_read_and_missed(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(tiny_detector(), path, save_as_external_data=True, location="w.bin", size_threshold=0)
    assert read_detector(path).labels == LABELS
    (tmp_path / "w.bin").unlink()
    with pytest.raises(ModelFileError, match=r"keeps its weights in w\.bin, which is not beside"):
        read_detector(path)


def test_weights_cut_short_in_another_file_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(tiny_detector(), path, save_as_external_data=True, location="w.bin", size_threshold=0)
    weights = tmp_path / "w.bin"
    weights.write_bytes(weights.read_bytes()[:10])
    with pytest.raises(ModelFileError, match=r"weights of model\.onnx in w\.bin cannot be read"):
        read_detector(path)


def test_weights_outside_the_models_folder_are_refused(tmp_path: Path) -> None:
    model = tiny_detector()
    model.graph.initializer[0].data_location = TensorProto.EXTERNAL
    model.graph.initializer[0].ClearField("raw_data")
    model.graph.initializer[0].external_data.add(key="location", value="../../etc/passwd")
    (tmp_path / "deep" / "deeper").mkdir(parents=True)
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "passwd").write_bytes(bytes(2000))
    path = tmp_path / "deep" / "deeper" / "model.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelFileError, match=r"outside of its own folder"):
        read_detector(path)


def test_a_graph_without_outputs_is_refused(tmp_path: Path) -> None:
    model = tiny_detector()
    del model.graph.output[:]
    with pytest.raises(UnknownHeadError, match="no outputs"):
        read_detector(save_tiny_detector(tmp_path / "model.onnx", model))


def test_an_input_that_is_refused_is_shown_with_its_type(tmp_path: Path) -> None:
    model = tiny_detector()
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8
    with pytest.raises(ModelFileError, match=r"it takes images UINT8 \[\?, 3, 64, 64\]"):
        read_detector(save_tiny_detector(tmp_path / "model.onnx", model))
