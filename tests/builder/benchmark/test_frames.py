from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from builder.benchmark.frames import jpeg_files, resized_jpegs
from builder.errors import BenchmarkError
from tests.conftest import ROOT

SAMPLES = ROOT / "samples"


@pytest.mark.parametrize("size", [(1920, 1080), (640, 480)])
@pytest.mark.parametrize("source", [(400, 400), (3000, 900), (500, 1600)])
def test_frames_have_the_size_asked_for_and_are_cropped_not_stretched(
    tmp_path: Path, size: tuple[int, int], source: tuple[int, int]
) -> None:
    width, height = source
    picture = np.zeros((height, width, 3), np.uint8)
    picture[height // 2 - 50 : height // 2 + 50, width // 2 - 50 : width // 2 + 50] = 255
    cv2.imwrite(str(tmp_path / "square.jpg"), picture)
    (written,) = resized_jpegs([tmp_path / "square.jpg"], *size, tmp_path / "frames")
    frame = cv2.imread(str(written), cv2.IMREAD_GRAYSCALE)
    assert frame.shape == (size[1], size[0])
    rows, columns = np.nonzero(frame > 127)
    side = 100 * max(size[0] / width, size[1] / height)
    assert np.ptp(columns) == pytest.approx(side, abs=4)
    assert np.ptp(rows) == pytest.approx(side, abs=4)


def test_an_unreadable_image_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    with pytest.raises(BenchmarkError, match=r"broken\.jpg cannot be read"):
        resized_jpegs([tmp_path / "broken.jpg"], 64, 48, tmp_path / "frames")


def test_only_jpegs_of_a_folder_are_taken() -> None:
    assert {file.name for file in jpeg_files([str(SAMPLES / "golden")])} == {
        "cat.jpg",
        "cinema.jpg",
        "grey.jpg",
        "odd.jpg",
        "phone.jpg",
        "wide.jpg",
    }


def test_a_folder_without_jpegs_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match="holds no JPEGs"):
        jpeg_files([str(tmp_path)])
