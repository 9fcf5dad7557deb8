"""docs/pictures.md says what the code does; what it says of pictures the other tests try."""

from __future__ import annotations

import jpeg
import jpeg_pixels
import jpeg_scans
import png
from builder.settings import BuildSettings
from formats import REFUSED_MAGIC_NUMBERS
from tests.conftest import ROOT

DOCUMENT = (ROOT / "docs" / "pictures.md").read_text()
FLAT = " ".join(DOCUMENT.split())


def test_limits_are_those_of_the_code() -> None:
    settings = BuildSettings("x")
    for row in (
        f"| `--max-image-bytes`, {settings.max_image_bytes // 2**20} MiB |",
        f"| `--max-image-pixels`, {settings.max_image_pixels / 1e6:g} megapixels |",
        f"from there on | {jpeg.MAX_SEGMENTS} each |",
        f"all of them together | {jpeg.MAX_STRAY_BYTES // 2**20} MiB |",
        f"| scans of a JPEG | {jpeg_scans.MAX_SCANS} |",
        f"| {jpeg_scans.MAX_SCANNED_SAMPLES / 1e9:g} billion, or each one once",
        f"its animation | {png.MAX_CHUNKS} |",
        f"with up to {jpeg_pixels.MAX_PADDING_BYTES} bytes of padding",
    ):
        assert row in FLAT, row
    assert jpeg_scans.ARITHMETIC_COST == 8
    assert "arithmetic-coded ones count eight times" in FLAT


def test_formats_that_are_named_are_all_there() -> None:
    for name in {*REFUSED_MAGIC_NUMBERS.values(), "HEIC", "AVIF", "MP4", "QuickTime", "AVI"}:
        wanted = name.removesuffix(" video").removesuffix(" file").removeprefix("an ")
        assert wanted in DOCUMENT, name
