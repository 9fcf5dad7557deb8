"""The images a benchmark sends: a person's own, or the same brought to one size."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from builder.errors import BenchmarkError
from thin_client.sources import image_paths

JPEG_SUFFIXES = frozenset({".jpg", ".jpeg"})
# What cameras use: libjpeg's quality, colour at half resolution.
JPEG_QUALITY = 80


def jpeg_files(names: Sequence[str]) -> list[Path]:
    """Return the JPEG files that files, folders and patterns stand for.

    Raises:
        BenchmarkError: there is none, or a file is not there.
    """
    files = [Path(name) for name in image_paths(names)]
    jpegs = [file for file in files if file.suffix.lower() in JPEG_SUFFIXES]
    if missing := [file for file in jpegs if not file.is_file()]:
        raise BenchmarkError(f"there is no image {missing[0]}: check its name")
    if not jpegs:
        raise BenchmarkError(
            f"{', '.join(names)} holds no JPEGs: name a folder of them, as in `framewire bench "
            "samples`"
        )
    return jpegs


def resized_jpegs(files: Sequence[Path], width: int, height: int, folder: Path) -> list[Path]:
    """Write the images with one size, as a camera would have taken them, into ``folder``.

    Each is scaled until it covers the size and cropped about its middle, then encoded with quality
    80 and halved colour.

    Raises:
        BenchmarkError: an image cannot be read.
    """
    import cv2  # noqa: PLC0415 - the builder's other commands do without it

    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for number, file in enumerate(files):
        picture = cv2.imread(str(file), cv2.IMREAD_COLOR)
        if picture is None:
            raise BenchmarkError(f"{file} cannot be read as an image: leave it out")
        scale = max(width / picture.shape[1], height / picture.shape[0])
        size = (
            max(round(picture.shape[1] * scale), width),
            max(round(picture.shape[0] * scale), height),
        )
        interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        scaled = cv2.resize(picture, size, interpolation=interpolation)
        left, top = (size[0] - width) // 2, (size[1] - height) // 2
        cropped = scaled[top : top + height, left : left + width]
        target = folder / f"{number:03d}_{file.stem}.jpg"
        cv2.imwrite(str(target), cropped, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        written.append(target)
    return written
