"""``framewire verify`` and ``framewire build --verify`` against a real Triton."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from builder.errors import AccuracyLostError, ServerError, VerificationError
from builder.pipelines.manifest import pipelines, read_manifest
from builder.pipelines.pipeline_spec import PipelineSpec
from builder.pipelines.repository import build_pipeline
from builder.settings import BuildSettings, Runtime
from builder.verification.approval import approval
from builder.verification.comparison import Verification
from tests.conftest import ROOT
from tests.images import encoded
from tests.serving import (
    READY_TIMEOUT_S,
    STOP_TIMEOUT_S,
    Serving,
    children,
    framewire,
    running,
    serving,
    shared_memory_of,
)
from tests.tiny_detector import LABELS, coloured_square, save_tiny_detector, tiny_detector

CODES = ROOT / "samples" / "code_detector" / "codes.onnx"
PICTURES = [str(ROOT / "samples" / name) for name in ("desk.jpg", "labels.jpg")]

Harm = Callable[[onnx.ModelProto], None]
Approve = Callable[[Path, PipelineSpec], None]


def verify(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = framewire("verify", *(str(each) for each in arguments))
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def squares(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A YOLO data set of one square to an image; ``labels`` beside ``images``."""
    folder = tmp_path_factory.mktemp("squares")
    for name in ("images", "labels"):
        (folder / name).mkdir()
    for class_index, colour in enumerate(LABELS):
        for left in (0, 24, 56):
            picture = coloured_square(colour, left=left, top=16)
            (folder / "images" / f"{colour}{left}.png").write_bytes(encoded(picture, ".png"))
            label = f"{class_index} {(left + 4) / 64} {20 / 64} {8 / 64} {8 / 64}\n"
            (folder / "labels" / f"{colour}{left}.txt").write_text(label)
    return folder


def test_the_demo_pipeline_finds_what_its_detector_finds(server: Serving) -> None:
    done = verify(
        *(CODES, ROOT / "samples", ROOT / "samples" / "golden"),
        *("--repository", ROOT / "model_repository", "--url", server.url),
        *("--both", "--json", "--max-map-drop", 0.001),
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["images"] == 19
    assert [route["route"] for route in result["routes"]] == ["ensemble", "bls"]
    for route in result["routes"]:
        agreement = route["agreement"]
        assert agreement["matched"] > 100
        assert agreement["missing"] == agreement["extra"] == agreement["refused"] == 0
        assert agreement["box_px"] < 0.1
        assert agreement["score"] < 0.001
        assert route["map_drop"] < 0.001


def test_it_serves_the_pipeline_itself_and_finds_the_labels(
    tiny_repository: Path, squares: Path, tmp_path: Path
) -> None:
    model = save_tiny_detector(tmp_path / "tiny.onnx")
    repository = tmp_path / "repository"
    shutil.copytree(tiny_repository, repository)
    (repository / "broken").mkdir()
    (repository / "broken" / "config.pbtxt").write_text('name: "broken" backend: "none"')
    done = verify(model, squares / "images", "--repository", repository)
    assert done.returncode == 0, done.stderr
    assert "tiny version 1 against tiny.onnx: yolov8 head, 64x64, fp32, 9 images" in done.stdout
    assert "YOLO labels of 9 of 9 images" in done.stdout
    assert " ensemble          9        0        0" in done.stdout
    assert done.stdout.splitlines()[-1].split() == ["ensemble", "1.0000", "1.0000", "0.0000"]


def test_a_server_that_has_another_version_than_the_repository_is_refused(
    squares: Path, tmp_path: Path
) -> None:
    model, repository = save_tiny_detector(tmp_path / "tiny.onnx"), tmp_path / "repository"
    build_pipeline(model, repository, BuildSettings("tiny"))
    with serving(repository) as server:
        asked = (model, squares / "images", "--repository", repository, "--url", server.url)
        assert verify(*asked).returncode == 0
        build_pipeline(model, repository, BuildSettings("tiny", conf=0.4))
        done = verify(*asked)
        assert done.returncode == 1
        assert f"{server.url} answers with version 1 of tiny, and version 2 is" in done.stderr
        assert f"`framewire load tiny --url {server.url}`" in done.stderr


def test_another_model_than_the_pipeline_s_is_refused(
    tiny_repository: Path, squares: Path, tmp_path: Path
) -> None:
    other = save_tiny_detector(tmp_path / "other.onnx", tiny_detector(opset=16))
    done = verify(other, squares / "images", "--repository", tiny_repository)
    assert done.returncode == 1
    assert "other.onnx is not the file that tiny was built from (tiny.onnx" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_sigterm_leaves_nothing_behind(
    tiny_repository: Path, squares: Path, tmp_path: Path
) -> None:
    model = save_tiny_detector(tmp_path / "tiny.onnx")
    images = [str(squares / "images")] * 1000
    command = framewire("verify", str(model), *images, "--repository", str(tiny_repository))
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    environment.pop("ORT_DISABLE_TELEMETRY", None)
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        wait_for(lambda: shared_memory_of(process.pid))
        (triton,) = children(process.pid)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=STOP_TIMEOUT_S)
    assert process.returncode == 130
    assert errors == "framewire: interrupted\n"
    assert not running(triton)
    assert not shared_memory_of(process.pid)
    # ONNX Runtime's telemetry would leave a file too.
    assert [entry.name for entry in tmp_path.iterdir()] == ["tiny.onnx"]


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + READY_TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def swap_channels(network: onnx.ModelProto) -> None:
    """Show the network blue where it looks for red."""
    change_constant(network, "Gather", lambda order: order[::-1])


def quarter_light(network: onnx.ModelProto) -> None:
    """Show the network a fourth of the light."""
    change_constant(network, "Div", lambda divisor: divisor * 4)


def change_constant(
    network: onnx.ModelProto, op_type: str, change: Callable[[np.ndarray], np.ndarray]
) -> None:
    """Change the constant of what the graph does to frames before the detector's first layer."""
    node = next(
        node
        for node in network.graph.node
        if node.op_type == op_type and node.name.startswith("framewire_input")
    )
    tensor = next(each for each in network.graph.initializer if each.name == node.input[1])
    values = numpy_helper.to_array(tensor)
    changed = np.array(change(values), values.dtype, order="C")
    tensor.CopyFrom(numpy_helper.from_array(changed, tensor.name))


def harmed(approve: Approve, harm: Harm) -> Approve:
    """The same check of a network that was harmed after it was staged."""

    def harm_and_check(staged: Path, spec: PipelineSpec) -> None:
        file = staged / spec.names.network / str(spec.version) / "model.onnx"
        network = onnx.load(file)
        harm(network)
        onnx.save(network, file)
        approve(staged, spec)

    return harm_and_check


def test_a_pipeline_that_keeps_what_its_detector_finds_is_published(
    tmp_path: Path, squares: Path
) -> None:
    model = save_tiny_detector(tmp_path / "tiny.onnx")
    told: list[Verification] = []
    approve = approval(model, [str(squares / "images")], tell=told.append)
    build_pipeline(model, tmp_path / "repository", BuildSettings("tiny"), approve=approve)
    assert pipelines(tmp_path / "repository") == ("tiny",)
    (verification,) = told
    assert [route.route for route in verification.routes] == ["ensemble", "bls"]
    assert verification.worst_drop == 0


@pytest.mark.parametrize(
    ("model", "pictures", "harm"),
    [(None, None, swap_channels), (CODES, PICTURES, quarter_light)],
    ids=["swapped channels", "wrong scale"],
)
def test_a_harmed_pipeline_is_not_published(
    tmp_path: Path,
    squares: Path,
    model: Path | None,
    pictures: list[str] | None,
    harm: Harm,
) -> None:
    model = model or save_tiny_detector(tmp_path / "tiny.onnx")
    repository = tmp_path / "repository"
    check = harmed(approval(model, pictures or [str(squares / "images")]), harm)
    with pytest.raises(AccuracyLostError, match=r"loses .* mAP .* allowed are 0.005"):
        build_pipeline(model, repository, BuildSettings("harmed"), approve=check)
    assert not pipelines(repository)
    assert not [entry.name for entry in repository.iterdir() if not entry.name.startswith(".")]


def test_a_pipeline_that_triton_cannot_load_is_not_published(tmp_path: Path, squares: Path) -> None:
    model = save_tiny_detector(tmp_path / "tiny.onnx")
    repository = tmp_path / "repository"
    build_pipeline(model, repository, BuildSettings("tiny"))

    def unloadable(network: onnx.ModelProto) -> None:
        network.graph.node[-1].op_type, network.graph.node[-1].domain = "Unknown", "someone"
        network.opset_import.append(onnx.helper.make_opsetid("someone", 1))

    check = harmed(approval(model, [str(squares / "images")]), unloadable)
    with pytest.raises(ServerError, match="tiny_network"):
        build_pipeline(model, repository, BuildSettings("tiny", conf=0.9), approve=check)
    assert read_manifest(repository, "tiny").version == 1
    with pytest.raises(ServerError, match="other_network"):
        build_pipeline(model, repository, BuildSettings("other"), approve=check)
    assert pipelines(repository) == ("tiny",)


def test_the_bls_variant_is_checked_too(tmp_path: Path, squares: Path) -> None:
    model = save_tiny_detector(tmp_path / "tiny.onnx")
    check = approval(model, [str(squares / "images")])

    def blind_and_check(staged: Path, spec: PipelineSpec) -> None:
        with (staged / spec.names.bls / str(spec.version) / "nms.py").open("a") as file:
            file.write("\n\ndef select_detections(candidates, thresholds):\n")
            file.write("    return candidates[:0]\n")
        check(staged, spec)

    with pytest.raises(AccuracyLostError, match=r"mAP50 1.0000 to 0.0000.*, bls\)"):
        build_pipeline(
            model, tmp_path / "repository", BuildSettings("tiny"), approve=blind_and_check
        )


def test_images_that_only_the_pipeline_refuses_are_lost(tmp_path: Path, squares: Path) -> None:
    model = save_tiny_detector(tmp_path / "tiny.onnx")
    settings = BuildSettings("tiny", max_image_pixels=64 * 64 - 1)
    told: list[Verification] = []
    check = approval(model, [str(squares / "images")], tell=told.append)
    with pytest.raises(AccuracyLostError):
        build_pipeline(model, tmp_path / "repository", settings, approve=check)
    assert [route.agreement.refused for route in told[0].routes] == [9, 9]
    assert [route.agreement.missing for route in told[0].routes] == [9, 9]


def test_a_harmed_version_leaves_the_old_one_in_place(tmp_path: Path, squares: Path) -> None:
    model, repository = save_tiny_detector(tmp_path / "tiny.onnx"), tmp_path / "repository"
    settings = BuildSettings("tiny")
    build_pipeline(model, repository, settings)
    before = {file: file.read_bytes() for file in repository.rglob("*") if file.is_file()}
    check = harmed(approval(model, [str(squares / "images")]), swap_channels)
    with pytest.raises(AccuracyLostError):
        build_pipeline(model, repository, settings, approve=check)
    assert read_manifest(repository, "tiny").version == 1
    assert {file: file.read_bytes() for file in repository.rglob("*") if file.is_file()} == before


def test_what_may_be_lost_can_be_chosen(tmp_path: Path, squares: Path) -> None:
    model = save_tiny_detector(tmp_path / "tiny.onnx")
    check = harmed(approval(model, [str(squares / "images")], max_map_drop=1), swap_channels)
    build_pipeline(model, tmp_path / "repository", BuildSettings("tiny"), approve=check)
    assert pipelines(tmp_path / "repository") == ("tiny",)
    images = [squares / "images", "--repository", tmp_path / "repository"]
    assert verify(model, *images).returncode == 0
    refused = verify(model, *images, "--max-map-drop", 0.01)
    assert refused.returncode == 1
    assert "tiny loses 0." in refused.stderr
    assert "precision" in refused.stdout


def test_build_verifies_when_asked_to(tmp_path: Path, squares: Path) -> None:
    model = save_tiny_detector(tmp_path / "tiny.onnx")
    command = framewire(
        *("build", str(model), "--name", "tiny", "--repository", str(tmp_path / "repository")),
        *("--verify", str(squares / "images"), "--ground-truth", str(squares / "labels")),
    )
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "YOLO labels of 9 of 9 images" in done.stdout
    assert pipelines(tmp_path / "repository") == ("tiny",)


def test_a_network_that_needs_a_gpu_is_not_verified_here(tmp_path: Path, squares: Path) -> None:
    model = save_tiny_detector(tmp_path / "tiny.onnx")
    settings = BuildSettings("tiny", runtime=Runtime.TENSORRT)
    check = approval(model, [str(squares / "images")])
    with pytest.raises(VerificationError, match=r"--runtime tensorrt: .*framewire verify --url"):
        build_pipeline(model, tmp_path / "repository", settings, approve=check)
