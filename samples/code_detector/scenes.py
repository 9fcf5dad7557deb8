"""Compose scenes with exactly known code positions, and write them as a YOLO data set.

    python scenes.py collect --packages downloads --photos photos
    python scenes.py render --photos photos/train --out data/train --count 10000 --size 640

The same seed gives the same scenes, whatever the number of processes.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from multiprocessing import Pool
from pathlib import Path

import cv2
import numpy as np

from backgrounds import add_texture, collect, photo_crop, surface
from camera import blur, light, project, random_pose, sensor
from canvas import Canvas, Scene, new_canvas, place_label, rectangle, visible_boxes
from labels import Label, make_label, random_line
from symbols import CLASS_NAMES, MIN_SIZE_PX, make_symbol

NETWORK_SIDE = 640  # what larger scenes are shown at
EMPTY_SHARE = 0.09  # scenes without any code
_CLASS_SHARES = (0.25, 0.27, 0.24, 0.24)


def render_scene(
    rng: np.random.Generator,
    photos: Sequence[Path],
    width: int,
    height: int,
    *,
    photo_share: float = 0.7,
    detail: float = 1.0,
) -> Scene:
    """One random scene; `photo_share` of the backgrounds are photographs, the rest surfaces.

    Give a scene larger than the network's input its `detail`: 2.0 for 1280 pixels shown to 640.
    """
    if photos and rng.random() < photo_share:
        image = photo_crop(rng, list(photos), width, height)
    else:
        image = surface(rng, width, height)
    canvas = new_canvas(image, detail)
    _add_clutter(rng, canvas)
    if rng.random() >= EMPTY_SHARE:
        most = 4 if min(width, height) < 500 else 7
        for _ in range(int(rng.integers(1, most + 1))):
            _add_label(rng, canvas, with_codes=True)
    _add_occluders(rng, canvas)
    return photograph(rng, canvas)


def photograph(rng: np.random.Generator, canvas: Canvas) -> Scene:
    """Light the composed canvas, take its picture and read off what is visible."""
    boxes, classes = visible_boxes(canvas)
    image = light(rng, canvas.image)
    smallest = min((min(b[2] - b[0], b[3] - b[1]) for b in boxes), default=60.0)
    image = sensor(rng, blur(rng, image, smallest))
    return Scene(image, np.array(boxes).reshape(-1, 4), np.array(classes, int))


def _add_label(rng: np.random.Generator, canvas: Canvas, with_codes: bool) -> None:
    for _ in range(8):
        count = int(rng.choice([1, 2, 3, 4], p=[0.6, 0.24, 0.1, 0.06])) if with_codes else 0
        classes = rng.choice(4, size=count, p=_CLASS_SHARES)
        size = _random_size(rng, canvas, classes)
        supersample = 1.25 if size < 200 else 1.0
        symbols = [make_symbol(rng, int(c)) for c in classes]
        label = make_label(rng, symbols, size * supersample)
        homography = _random_place(rng, canvas, label, supersample)
        box = project(homography, rectangle((0, 0, *label.image.shape[1::-1]), 1))
        box = np.array([*box.min(0), *box.max(0)])
        if with_codes and max((_overlap(box, other) for other in canvas.taken), default=0) > 0.08:
            continue
        if place_label(rng, canvas, label, homography, curved=bool(rng.random() < 0.12)):
            return


def _random_size(rng: np.random.Generator, canvas: Canvas, classes: np.ndarray) -> float:
    """The first code's long side in scene pixels, log-uniform."""
    smallest = max((MIN_SIZE_PX[int(c)] for c in classes), default=24) * canvas.detail
    share = 0.9 if rng.random() < 0.15 else 0.55
    largest = min(canvas.owner.shape) * share / max(len(classes), 1) ** 0.5
    return float(np.exp(rng.uniform(np.log(smallest), np.log(max(largest, smallest + 1)))))


def _random_place(
    rng: np.random.Generator, canvas: Canvas, label: Label, supersample: float
) -> np.ndarray:
    """A homography from the label to a random pose in the scene, mostly wholly inside it."""
    scene_h, scene_w = canvas.owner.shape
    height, width = label.image.shape[:2]
    pose = np.diag([1 / supersample, 1 / supersample, 1]) @ random_pose(rng, width, height)
    overhang = 0.25 if rng.random() < 0.2 else -0.02
    half = np.array([width, height]) / supersample / 2 * (1 - 2 * overhang)
    low = np.minimum(half, (scene_w / 2, scene_h / 2))
    high = np.array([scene_w, scene_h]) - low
    x, y = rng.uniform(low, np.maximum(high, low + 1))
    return np.array([[1, 0, x], [0, 1, y], [0, 0, 1]]) @ pose


def _add_clutter(rng: np.random.Generator, canvas: Canvas) -> None:
    """Boxes, text and labels without codes, behind everything else."""
    height, width = canvas.owner.shape
    for _ in range(int(rng.integers(0, 4)) if rng.random() < 0.5 else 0):
        points = (rng.uniform(-0.2, 1.2, 2) + rng.uniform(-0.25, 0.25, (4, 2))) * (width, height)
        hull = cv2.convexHull(points.astype(np.int32))
        cv2.fillConvexPoly(canvas.image, hull, rng.uniform(0, 255, 3).tolist(), cv2.LINE_AA)
    for _ in range(int(rng.integers(0, 3)) if rng.random() < 0.3 else 0):
        place = (int(rng.integers(width)), int(rng.integers(height)))
        colour, scale = rng.uniform(0, 255, 3).tolist(), float(rng.uniform(0.3, 2.0))
        cv2.putText(canvas.image, random_line(rng), place, 0, scale, colour, 2, cv2.LINE_AA)
    for _ in range(int(rng.integers(1, 3)) if rng.random() < 0.35 else 0):
        _add_label(rng, canvas, with_codes=False)
    canvas.taken.clear()
    if rng.random() < 0.2:
        canvas.image = add_texture(rng, canvas.image, rng.uniform(2, 10))


def _add_occluders(rng: np.random.Generator, canvas: Canvas) -> None:
    """Tape, cables and fingers over the edge of some codes, hiding up to about a third."""
    for _, outline in list(canvas.outlines):
        if rng.random() > 0.1:
            continue
        colour = (np.array([120, 150, 200]) * rng.uniform(0.3, 1.2)).clip(0, 255)
        if rng.random() < 0.4:
            colour = rng.uniform(0, 255, 3)
        hidden = _occluder(rng, canvas, outline)
        clear = rng.random() < 0.3  # see-through tape hides nothing
        opacity = rng.uniform(0.2, 0.5) if clear else 1.0
        layer = canvas.image.copy()
        layer[hidden > 0] = np.rint(colour)
        canvas.image = cv2.addWeighted(layer, opacity, canvas.image, 1 - opacity, 0)
        if not clear:
            canvas.owner[hidden > 0] = 0


def _occluder(rng: np.random.Generator, canvas: Canvas, outline: np.ndarray) -> np.ndarray:
    """A strip across a code or a blob at its edge: uint8 [height, width], 1 where it hides."""
    hidden = np.zeros_like(canvas.owner)
    low, high = outline.min(0), outline.max(0)
    side = float(np.sqrt(np.prod(high - low)))
    edge = outline[rng.integers(len(outline))]
    thickness = max(2, int(side * rng.uniform(0.05, 0.2)))
    if rng.random() < 0.5:
        reach = rng.uniform(-1, 1, 2)
        reach *= side / (np.linalg.norm(reach) + 1e-6)
        anchor = low + rng.uniform(0.1, 0.9, 2) * (high - low)
        ends = [tuple(int(v) for v in anchor + s * reach) for s in (-1, 1)]
        cv2.line(hidden, ends[0], ends[1], 1, thickness, cv2.LINE_8)
    else:
        shares = rng.uniform(0.1, 0.25), rng.uniform(0.1, 0.3)
        axes = tuple(max(2, int(side * share)) for share in shares)
        turn = float(rng.uniform(0, 180))
        cv2.ellipse(hidden, tuple(int(v) for v in edge), axes, turn, 0, 360, 1, -1, cv2.LINE_8)
    return hidden


def _overlap(a: np.ndarray, b: np.ndarray) -> float:
    """The shared area of two x1 y1 x2 y2 boxes, as a share of the smaller one."""
    shared = np.prod((np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])).clip(0))
    return float(shared / min(np.prod(a[2:] - a[:2]), np.prod(b[2:] - b[:2])))


def _write_scene(
    index: int,
    *,
    seed: int,
    photos: list[Path],
    out: Path,
    sizes: Sequence[tuple[int, int]],
    photo_share: float,
) -> None:
    cv2.setNumThreads(1)
    rng = np.random.default_rng([seed, index])
    size = sizes[index % len(sizes)]
    detail = max(1.0, max(size) / NETWORK_SIDE)
    scene = render_scene(rng, photos, *size, photo_share=photo_share, detail=detail)
    quality = int(rng.integers(35, 96))
    name = f"{index:06d}"
    path = out / "images" / f"{name}.jpg"
    cv2.imwrite(str(path), scene.image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    lines = []
    for class_id, (x1, y1, x2, y2) in zip(
        scene.classes, scene.boxes_xyxy / (*size, *size), strict=True
    ):
        values = ((x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1)
        lines.append(f"{class_id} " + " ".join(f"{v:.6f}" for v in values))
    (out / "labels" / f"{name}.txt").write_text("\n".join(lines) + "\n" * bool(lines))


def render_dataset(
    photos: Path | None,
    out: Path,
    count: int,
    sizes: Sequence[tuple[int, int]],
    *,
    seed: int = 0,
    processes: int = 2,
    photo_share: float = 0.7,
) -> None:
    """Write out/images/*.jpg and out/labels/*.txt: `count` scenes, of the sizes by turns.

    Sizes are width and height in pixels. Without `photos` every background is drawn.
    """
    sources = sorted(photos.glob("*.jpg")) if photos else []
    if photos and not sources:
        raise FileNotFoundError(f"no photographs in {photos}: run `scenes.py collect` first")
    for folder in ("images", "labels"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    work = partial(
        _write_scene, seed=seed, photos=sources, out=out, sizes=sizes, photo_share=photo_share
    )
    with Pool(processes) as pool:
        for _ in pool.imap_unordered(work, range(count), chunksize=64):
            pass


def _width_height(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    return int(width), int(height or width)


def main() -> None:
    """The command line; see the module's docstring."""
    parser = argparse.ArgumentParser(description="Render scenes with machine-readable codes.")
    commands = parser.add_subparsers(required=True)
    unpack = commands.add_parser("collect", help="unpack the backgrounds from packages")
    unpack.add_argument("--packages", type=Path, required=True, help="folder of *.whl and *.deb")
    unpack.add_argument("--photos", type=Path, required=True)
    unpack.set_defaults(act=lambda a: print(collect(a.packages, a.photos)))
    render = commands.add_parser("render", help=f"write a data set of {', '.join(CLASS_NAMES)}")
    render.add_argument("--photos", type=Path, help="backgrounds (drawn ones only)")
    render.add_argument("--out", type=Path, required=True)
    render.add_argument("--count", type=int, default=1000)
    render.add_argument(
        "--size",
        dest="sizes",
        type=_width_height,
        nargs="+",
        default=[(640, 640)],
        help="of the scenes in pixels, as 640 or 1280x720; several by turns (640)",
    )
    render.add_argument("--seed", type=int, default=0)
    render.add_argument("--processes", type=int, default=2)
    render.add_argument("--photo-share", type=float, default=0.7)
    render.set_defaults(
        act=lambda a: render_dataset(
            a.photos,
            a.out,
            a.count,
            a.sizes,
            seed=a.seed,
            processes=a.processes,
            photo_share=a.photo_share,
        )
    )
    arguments = parser.parse_args()
    arguments.act(arguments)


if __name__ == "__main__":
    main()
