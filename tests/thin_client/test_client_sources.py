"""Image files, the generated image, where pictures go."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
import pytest

from thin_client import OutputUnwritable, SourceUnreadable
from thin_client.dummy import dummy_image, summarize
from thin_client.outputs import output_paths
from thin_client.progress import Progress, progress_line
from thin_client.sources import image_paths, read_image


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("b.jpg", "a.PNG", "notes.txt", "deep/c.webp", "empty/notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(name.encode())
    return tmp_path


def test_files_keep_their_order_and_their_spelling(folder):
    assert list(image_paths(["b.jpg", "./a.PNG", "b.jpg"])) == ["b.jpg", "./a.PNG", "b.jpg"]


def test_file_is_taken_whatever_its_suffix(folder):
    assert list(image_paths(["notes.txt"])) == ["notes.txt"]


def test_folder_stands_for_the_images_in_it(folder):
    assert list(image_paths(["."])) == ["a.PNG", "b.jpg"]


def test_pattern_the_shell_left_alone_is_expanded(folder):
    assert list(image_paths(["*.jpg", "**/*.webp"])) == ["b.jpg", str(Path("deep/c.webp"))]


def test_folder_whose_name_looks_like_a_pattern_is_itself(folder):
    for name in ("photos[1]", "photos1"):
        (folder / name).mkdir()
        (folder / name / "d.jpg").write_bytes(b"")
    for start in ("", f"{folder}/"):
        assert list(image_paths([f"{start}photos[1]/*.jpg"])) == [f"{start}photos[1]/d.jpg"]
        assert list(image_paths([f"{start}photos?/*.jpg"])) == [f"{start}photos1/d.jpg"]


def test_file_whose_name_looks_like_a_pattern_is_itself(folder):
    (folder / "[b].jpg").write_bytes(b"")
    assert list(image_paths(["[b].jpg"])) == ["[b].jpg"]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("absent.jpg", "no such file"), ("*.gif", "no such file"), ("empty", "holds no images")],
)
def test_name_that_stands_for_nothing_says_why_when_read(folder, name, sentence):
    (found,) = image_paths([name])
    with pytest.raises(SourceUnreadable, match=sentence):
        read_image(found)


def test_image_is_read_as_it_is(folder):
    assert read_image("b.jpg") == b"b.jpg"


def test_dummy_image_is_a_png_of_the_size_asked_for():
    pixels = cv2.imdecode(np.frombuffer(dummy_image(31, 7), np.uint8), cv2.IMREAD_COLOR)
    assert pixels.shape == (7, 31, 3)
    assert pixels[0, 0].tolist() == [127, 0, 0]
    assert pixels[6, 30].tolist() == [127, 255, 255]


def test_latencies_are_summed_up_in_milliseconds():
    summary = summarize([0.001 * n for n in range(1, 101)], wall_s=2.0)
    assert summary.images == 100
    assert summary.images_per_s == 50.0
    assert (summary.mean_ms, summary.p50_ms, summary.max_ms) == (50.5, 50.5, 100.0)
    assert summary.p90_ms == pytest.approx(90.1)


@pytest.mark.parametrize(
    ("paths", "out", "expected"),
    [
        (["x.jpg"], "y.png", {0: "y.png"}),
        (["x.jpg"], "new/y.png", {0: "new/y.png"}),
        (["x.jpg"], "deep", {0: "deep/x.jpg"}),
        (["x.jpg"], "new.d/", {0: "new.d/x.jpg"}),
        (["x.jpg", "a/x.jpg", "z.png"], "new", {0: "new/x.jpg", 1: "new/x_2.jpg", 2: "new/z.png"}),
    ],
)
def test_pictures_go_to_a_file_or_into_a_folder(folder, paths, out, expected):
    chosen = output_paths(paths, out)
    assert {position: path.as_posix() for position, path in chosen.items()} == expected
    assert all(path.parent.is_dir() for path in chosen.values())


def test_several_pictures_need_a_folder(folder):
    with pytest.raises(OutputUnwritable, match="name a folder"):
        output_paths(["a.jpg", "b.jpg"], "one.png")


@pytest.mark.parametrize(("paths", "out"), [(["b.jpg"], "./b.jpg"), (["b.jpg", "a.PNG"], ".")])
def test_image_is_never_replaced_by_its_annotated_copy(folder, paths, out):
    with pytest.raises(OutputUnwritable, match="would replace its own source"):
        output_paths(paths, out)


def test_folder_that_cannot_be_made_is_said(folder):
    with pytest.raises(OutputUnwritable, match="cannot make the folder"):
        output_paths(["x.jpg", "y.jpg"], "notes.txt")


def test_progress_shows_a_bar_only_when_the_total_is_known():
    assert progress_line(5, 10, 1.0) == f"[{'#' * 15}{'.' * 15}] 5/10  5.0/s  1 s left"
    assert progress_line(5, None, 1.0) == "5  5.0/s"
    assert progress_line(0, 10, 0.0).startswith(f"[{'.' * 30}] 0/10")
    assert "12/10" in progress_line(12, 10, 1.0)


class Terminal(io.StringIO):
    def __init__(self, is_terminal: bool) -> None:
        super().__init__()
        self.is_terminal = is_terminal

    def isatty(self) -> bool:
        return self.is_terminal


@pytest.mark.parametrize(
    ("is_terminal", "shown", "drawn"),
    [(True, True, True), (True, False, False), (False, True, False)],
)
def test_progress_is_drawn_only_on_a_terminal_and_wiped_at_the_end(
    monkeypatch, is_terminal, shown, drawn
):
    terminal = Terminal(is_terminal)
    monkeypatch.setattr("sys.stderr", terminal)
    with Progress(2, shown) as progress:
        progress.advance()
    assert ("1/2" in terminal.getvalue()) == drawn
    assert terminal.getvalue().endswith("\r\x1b[K" if drawn else "")
    assert bool(terminal.getvalue()) == drawn
