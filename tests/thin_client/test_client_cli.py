"""The command ``framewire-client``, run as a person runs it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading

import cv2
import grpc
import numpy as np
import pytest

from thin_client import __version__
from thin_client.contract import STATUS_SENTENCES, ImageStatus, model_names
from thin_client.video import VideoReader, VideoWriter

CORRUPT = STATUS_SENTENCES[ImageStatus.CORRUPT]


@pytest.fixture
def folder(tmp_path):
    for number in range(3):
        (tmp_path / f"{number}.jpg").write_bytes(b"ok %d" % number)
    (tmp_path / "bad.jpg").write_bytes(b"garbage")
    return tmp_path


@pytest.fixture
def client(folder):
    """Run the command in ``folder`` and return its completed process."""

    def run(*arguments: str, **options) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "thin_client.cli", *arguments]
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=folder, check=False, **options
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done

    return run


def records(done: subprocess.CompletedProcess[str]) -> list[dict]:
    return [json.loads(line) for line in done.stdout.splitlines()]


def picture(folder, name: str, width: int = 107, height: int = 207) -> None:
    """A real picture of the size that the fake server says every image with a 7 has."""
    cv2.imwrite(str(folder / name), np.zeros((height, width, 3), np.uint8))


def answer_every_image_as_seven(triton, width: int = 107, height: int = 207) -> None:
    """Let the fake server take real pictures for ``b"ok 7"`` of the given size."""

    def pretend(images):
        images[:] = [b"ok 7"] * len(images)

    def resize(response):
        size = np.array([[width, height]], np.int32)
        response.raw_output_contents[5] = size.tobytes()

    triton.fake.before_answer = pretend
    triton.fake.change_response = resize


def test_json_is_one_object_per_file_in_the_order_given(triton, client):
    done = client("image", "2.jpg", "0.jpg", "1.jpg", "--json", "--url", triton.url)
    assert done.returncode == 0
    assert done.stderr == ""
    assert [record["file"] for record in records(done)] == ["2.jpg", "0.jpg", "1.jpg"]
    assert records(done)[0] == {
        "file": "2.jpg",
        "width": 102,
        "height": 202,
        "detections": [{"label": "dog", "class": 1, "score": 0.5, "box": [2.0, 3.0, 4.0, 5.0]}],
    }


def test_a_file_that_fails_has_an_error_the_others_go_on_and_the_code_is_1(triton, client):
    names = ("absent.jpg", "0.jpg", "bad.jpg", "1.jpg")
    done = client("image", *names, "--json", "--url", triton.url, "--model", "codes")
    assert done.returncode == 1
    absent, first, bad, last = records(done)
    assert absent == {"file": "absent.jpg", "error": "there is no such file"}
    assert bad == {"file": "bad.jpg", "error": CORRUPT}
    assert (first["width"], last["width"]) == (100, 101)


def test_text_has_a_heading_and_a_row_per_detection_and_errors_on_stderr(triton, client):
    done = client("image", "bad.jpg", "1.jpg", "--url", triton.url)
    assert done.returncode == 1
    heading, row = done.stdout.splitlines()
    assert heading == "1.jpg  101x201  1 detection"
    assert row.split() == ["dog", "0.500", "1.0", "2.0", "3.0", "4.0"]
    assert done.stderr == f"bad.jpg: {CORRUPT}\n"


def test_folder_and_pattern_are_expanded(triton, client):
    done = client("image", ".", "[01].jpg", "--json", "--url", triton.url)
    assert [record["file"] for record in records(done)] == [
        "0.jpg", "1.jpg", "2.jpg", "bad.jpg", "0.jpg", "1.jpg",
    ]  # fmt: skip


def test_detection_options_reach_the_server(triton, client):
    options = ("--conf", "0.5", "--iou", "0.6", "--max-det", "3", "--classes", "dog,2")
    options = (*options, "--no-class-agnostic", "--damaged", "accept")
    done = client("image", "0.jpg", *options, "--url", triton.url)
    assert done.returncode == 0, done.stderr
    sent = triton.fake.requests[0].parameters
    assert sent["conf"].string_param == "0.5"
    assert sent["iou"].string_param == "0.6"
    assert sent["max_det"].int64_param == 3
    assert sent["classes"].string_param == "1,2"
    assert sent["class_agnostic"].WhichOneof("parameter_choice") == "bool_param"
    assert sent["damaged"].string_param == "accept"


def test_parameter_the_server_refuses_is_wrong_usage(triton, client):
    refusal = (grpc.StatusCode.INVALID_ARGUMENT, "conf is 7.0, expected 0 to 1")
    triton.fake.refusals.extend([refusal] * 3)
    done = client("image", "0.jpg", "1.jpg", "2.jpg", "--conf", "7", "--url", triton.url)
    assert done.returncode == 2
    assert done.stderr == "framewire-client: conf is 7.0, expected 0 to 1\n"


def test_bls_is_called(triton, client):
    assert client("image", "0.jpg", "--bls", "--url", triton.url).returncode == 0
    assert triton.fake.requests[0].model_name == "codes_bls"


@pytest.mark.parametrize("command", [("image", "0.jpg"), ("dummy",), ("info",)])
def test_no_server_is_one_sentence_and_code_2(client, command):
    done = client(*command, "--url", "127.0.0.1:1", "--retries", "0")
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("framewire-client: cannot reach a Triton server at 127.0.0.1:1:")


def test_several_pipelines_are_named(triton, client):
    triton.fake.index += [(name, "READY", "") for name in model_names("animals").all]
    done = client("image", "0.jpg", "--url", triton.url)
    assert done.returncode == 2
    assert "animals, codes; name one (model, --model)" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("image",),
        ("image", "0.jpg", "--in-flight", "0"),
        ("image", "0.jpg", "--client-timeout", "0"),
        ("image", "0.jpg", "--retries", "-1"),
        ("image", "0.jpg", "--root-certificates", "ca.pem"),
        ("image", "0.jpg", "--url", "http://localhost:8000"),
        ("video", "clip.mp4", "--quality", "101"),
        ("camera", "first"),
        ("dummy", "--size", "640"),
        ("nonsense",),
    ],
)
def test_wrong_usage_is_code_2(client, arguments):
    done = client(*arguments)
    assert done.returncode == 2
    assert done.stderr


def test_version(client):
    assert client("--version").stdout == f"framewire-client {__version__}\n"


def test_model_info_goes_to_stderr_so_that_json_stays_json(triton, client):
    done = client("image", "0.jpg", "--json", "--model-info", "--url", triton.url)
    assert len(records(done)) == 1
    assert "person, dog, cat" in done.stderr


def test_verbose_tells_of_retries(triton, client):
    triton.fake.refusals.append((grpc.StatusCode.UNAVAILABLE, "Exceeds maximum queue size"))
    done = client("image", "0.jpg", "--verbose", "--url", triton.url)
    assert done.returncode == 0
    assert "trying again in" in done.stderr


def test_info_shows_the_pipeline_and_its_statistics(triton, client):
    done = client("info", "--url", triton.url)
    assert done.returncode == 0
    for part in ("triton 2.51.0", "yolov8", "640x480", "3: person, dog, cat", "codes_network"):
        assert part in done.stdout
    report = json.loads(client("info", "--json", "--url", triton.url).stdout)
    assert report["pipeline"]["labels"] == ["person", "dog", "cat"]
    assert report["statistics"][0]["images"] == 12


def test_dummy_prints_latency_and_rate(triton, client):
    answer_every_image_as_seven(triton)
    done = client("dummy", "--count", "5", "--size", "32x16", "--url", triton.url)
    assert done.returncode == 0
    assert done.stdout.startswith("5 images, ")
    assert "p99" in done.stdout
    (summary,) = records(client("dummy", "--count", "5", "--json", "--url", triton.url))
    assert (summary["images"], summary["failures"]) == (5, 0)
    assert summary["p50_ms"] <= summary["max_ms"]


def test_annotated_picture_of_one_image_is_a_file(triton, client, folder):
    picture(folder, "real.png")
    answer_every_image_as_seven(triton)
    done = client("image", "real.png", "--out", "new/annotated.jpg", "--url", triton.url)
    assert done.returncode == 0, done.stderr
    assert cv2.imread(str(folder / "new" / "annotated.jpg")).any()


def test_annotated_pictures_of_several_images_are_a_folder(triton, client, folder):
    picture(folder, "real.png")
    picture(folder, "other.png")
    answer_every_image_as_seven(triton)
    done = client("image", "real.png", "other.png", "--out", "annotated", "--url", triton.url)
    assert done.returncode == 0, done.stderr
    names = sorted(path.name for path in (folder / "annotated").iterdir())
    assert names == ["other.png", "real.png"]


def test_picture_that_cannot_be_annotated_is_that_files_error(triton, client):
    done = client("image", "0.jpg", "--json", "--out", "annotated", "--url", triton.url)
    assert done.returncode == 1
    assert "OpenCV cannot decode" in records(done)[0]["error"]


@pytest.fixture
def clip(folder):
    with VideoWriter(str(folder / "clip.avi"), 10) as writer:
        for number in range(6):
            writer.write(np.full((48, 64, 3), 40 * number, np.uint8))
    return "clip.avi"


def test_video_is_one_json_line_per_frame(triton, client, clip):
    answer_every_image_as_seven(triton, 64, 48)
    done = client("video", clip, "--json", "--url", triton.url)
    assert done.returncode == 0, done.stderr
    assert [(r["file"], r["frame"], len(r["detections"])) for r in records(done)] == [
        (clip, number, 1) for number in range(6)
    ]


def test_video_is_sent_as_jpeg(triton, client, clip):
    sent = []

    def remember(images):
        sent.extend(images)
        images[:] = [b"ok 7"] * len(images)

    triton.fake.before_answer = remember
    assert client("video", clip, "--frames", "2", "--url", triton.url).returncode == 0
    assert len(sent) == 2
    assert all(image.startswith(b"\xff\xd8\xff") for image in sent)


def test_annotated_video_has_every_frame_at_the_rate_asked_for(triton, client, clip, folder):
    answer_every_image_as_seven(triton, 64, 48)
    done = client("video", clip, "--out", "out.mp4", "--fps", "5", "--url", triton.url)
    assert done.returncode == 0, done.stderr
    assert "6 frames" in done.stdout
    assert "6 dog" in done.stdout
    with VideoReader(str(folder / "out.mp4")) as reader:
        frames = list(reader.frames())
        assert reader.fps == pytest.approx(5)
    assert len(frames) == 6
    # The first source frame is black; what it has now was drawn.
    assert frames[0].pixels_bgr.max() > 100


def test_frame_that_fails_is_an_error_and_stays_in_the_video(triton, client, clip, folder):
    answer_every_image_as_seven(triton, 64, 48)
    triton.fake.refusals.append((grpc.StatusCode.INTERNAL, "boom"))
    options = ("--json", "--out", "out.avi", "--in-flight", "1")
    done = client("video", clip, *options, "--url", triton.url)
    assert done.returncode == 1
    assert "boom" in records(done)[0]["error"]
    assert len(records(done)) == 6
    with VideoReader(str(folder / "out.avi")) as reader:
        assert len(list(reader.frames())) == 6


@pytest.mark.parametrize(
    "arguments", [("video", "absent.mp4"), ("video", "0.jpg"), ("camera", "97")]
)
def test_source_that_cannot_be_opened_is_one_sentence_and_code_2(triton, client, arguments):
    done = client(*arguments, "--url", triton.url)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1


def test_interrupt_ends_cleanly(triton, folder):
    arrived, release = threading.Event(), threading.Event()

    def hold(images):
        arrived.set()
        release.wait()

    triton.fake.before_answer = hold
    command = [sys.executable, "-m", "thin_client.cli", "image", *["0.jpg"] * 9]
    with subprocess.Popen(
        [*command, "--url", triton.url, "--client-timeout", "3600"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert arrived.wait(timeout=60)
        process.send_signal(signal.SIGINT)
        try:
            _, stderr = process.communicate(timeout=60)
        finally:
            release.set()
            process.kill()
    assert process.returncode == 130
    assert stderr == "framewire-client: interrupted\n"


@pytest.mark.skipif(os.name != "posix", reason="Windows reports a closed pipe in another way")
def test_closed_pipe_gives_no_traceback(triton, folder):
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "thin_client.cli", "image", "0.jpg", "1.jpg", "--json"]
    done = subprocess.run(
        [*command, "--url", triton.url],
        cwd=folder,
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        # Unbuffered, nothing would be left to flush at exit.
        env={**os.environ, "PYTHONUNBUFFERED": ""},
    )
    os.close(writing)
    assert done.stderr == ""
    assert done.returncode == 141
