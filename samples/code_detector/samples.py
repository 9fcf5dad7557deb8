"""Make the sample images in samples/ and samples/golden/.

    python samples.py --photos photos/held_out --out ..

Every background is drawn or free of rights: `chelsea` and `coffee` are CC0, `rocket` is in the
public domain, all three from scikit-image. None of them is in a training scene.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from scenes import render_scene
from warehouse import render_warehouse

_EXIF_ORIENTATION = 0x0112
_ROTATE_CLOCKWISE_TO_SHOW = 6
_JPEG_QUALITY = 88


@dataclass(frozen=True)
class Sample:
    """One image: its path in samples/, its size as shown, what is behind the codes, the seed.

    Seeds are picked by eye, so that every class appears and no score is near the threshold.

    background: a photograph's stem, "surface", "warehouse", or "photo:<stem>" for no codes at all.
    """

    path: str
    width: int
    height: int
    background: str
    seed: int
    rotated: bool = False
    grey: bool = False


SAMPLES = (
    Sample("warehouse.jpg", 1920, 1080, "warehouse", 42),
    Sample("portrait.jpg", 1080, 1440, "coffee", 1, rotated=True),
    Sample("desk.jpg", 640, 480, "coffee", 2),
    Sample("yard.jpg", 1280, 720, "rocket", 22),
    Sample("labels.jpg", 1024, 768, "surface", 15),
    Sample("shelf.jpg", 1280, 960, "warehouse", 50),
    Sample("launch.jpg", 640, 427, "photo:rocket", 0),
    Sample("golden/cat.jpg", 451, 300, "photo:chelsea", 0),
    Sample("golden/grey.png", 500, 375, "surface", 6, grey=True),
    Sample("golden/shelf.webp", 720, 540, "warehouse", 60),
    Sample("golden/odd.jpg", 333, 517, "chelsea", 8),
    Sample("golden/small.bmp", 200, 150, "coffee", 12),
    Sample("golden/tiny.png", 64, 64, "surface", 25),
    Sample("golden/wide.jpg", 2000, 300, "surface", 10),
    Sample("golden/cinema.jpg", 840, 360, "warehouse", 71),
    Sample("golden/phone.jpg", 405, 720, "warehouse", 70),
    Sample("golden/strip.png", 60, 400, "surface", 70),
    Sample("golden/speck.png", 23, 17, "surface", 70),
    Sample("golden/grey.jpg", 800, 600, "rocket", 11, grey=True),
)


def draw(sample: Sample, photos: Path) -> np.ndarray:
    """The sample's pixels as shown, uint8 BGR [height, width, 3]."""
    rng = np.random.default_rng(sample.seed)
    width, height = sample.width, sample.height
    if sample.background == "warehouse":
        return render_warehouse(rng, width, height).image
    if sample.background.startswith("photo:"):
        stem = sample.background.removeprefix("photo:")
        return cv2.imread(str(photos / f"{stem}.jpg"))
    sources = [] if sample.background == "surface" else [photos / f"{sample.background}.jpg"]
    detail = max(1.0, max(width, height) / 640)
    return render_scene(rng, sources, width, height, photo_share=1.0, detail=detail).image


def save(sample: Sample, image: np.ndarray, folder: Path) -> None:
    """Write the image in the format that its name says; a rotated one as a camera would."""
    path = folder / sample.path
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
    exif = Image.Exif()
    if sample.rotated:
        picture = picture.transpose(Image.Transpose.ROTATE_90)
        exif[_EXIF_ORIENTATION] = _ROTATE_CLOCKWISE_TO_SHOW
    if sample.grey:
        picture = picture.convert("L")
    if path.suffix in (".jpg", ".webp"):
        picture.save(path, quality=_JPEG_QUALITY, exif=exif)
    else:
        picture.save(path)


def main() -> None:
    """The command line; see the module's docstring."""
    parser = argparse.ArgumentParser(description="Make the sample images.")
    parser.add_argument("--photos", type=Path, required=True, help="the held-out photographs")
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent.parent)
    arguments = parser.parse_args()
    for sample in SAMPLES:
        save(sample, draw(sample, arguments.photos), arguments.out)


if __name__ == "__main__":
    main()
