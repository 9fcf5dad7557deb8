"""Make tracks.json: ids that ultralytics' own ByteTrack gives to detections.

    python tests/golden/make_track_golden.py RECORDED

Needs ultralytics and lap, in an environment of their own; the tests do not. RECORDED is the folder
into which `benchmarks/tracking/run.py` wrote what the demo detector makes of rendered videos: two
of them are taken, as detections of one class, because ultralytics associates across classes and
Framewire does not.

Other scenes are simulated, because that detector finds nearly everything there, and a tracker is
told apart by what is missed: things that cross, stand before each other, leave and come back, score
low or not at all, and boxes that are nothing. One has several classes, whose paths never meet.
Others have other settings.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ultralytics.trackers.byte_tracker import BYTETracker
from ultralytics.utils import IterableSimpleNamespace

TARGET = Path(__file__).parent / "tracks.json"
ROOT = Path(__file__).parents[2]
WIDTH, HEIGHT, FRAMES = 960, 540, 150
RECORDED_FRAMES = 150
DEFAULTS = {"track_high": 0.25, "track_low": 0.1, "track_buffer": 30}


@dataclass
class Found:
    """What ultralytics' trackers take: boxes as centre and size."""

    xywh: np.ndarray
    conf: np.ndarray
    cls: np.ndarray

    def __getitem__(self, rows):
        return Found(self.xywh[rows], self.conf[rows], self.cls[rows])

    def __len__(self):
        return len(self.conf)


def crowd(seed: int, things: int, classes: int, miss: float, noise: int) -> list[np.ndarray]:
    """Return the detections of each frame, float64 ``[n, 6]``: x1, y1, x2, y2, score, class."""
    rng = np.random.default_rng(seed)
    sizes = rng.uniform((30, 40), (90, 140), (things, 2))
    places = rng.uniform((0, 0), (WIDTH, HEIGHT), (things, 2))
    speeds = rng.normal(0, 4, (things, 2))
    kinds = np.arange(things) % classes
    if classes > 1:  # each class has a strip of its own
        places[:, 1] = (kinds + 0.5) * HEIGHT / classes
        sizes[:, 1] = 0.6 * HEIGHT / classes
        speeds[:, 1] = 0
    hidden = np.zeros(things, int)
    frames = []
    for _ in range(FRAMES):
        speeds += rng.normal(0, 0.2, speeds.shape) * (1, 0 if classes > 1 else 1)
        places += speeds
        outside = (places < -40) | (places > (WIDTH + 40, HEIGHT + 40))
        speeds[outside] *= -1
        hidden[(hidden == 0) & (rng.random(things) < 0.01)] = rng.integers(5, 45)
        hidden = np.maximum(hidden - 1, 0)
        seen = (hidden == 0) & (rng.random(things) >= miss)
        centres = places[seen] + rng.normal(0, 1.5, (seen.sum(), 2))
        sides = sizes[seen] * rng.normal(1, 0.02, (seen.sum(), 2))
        scores = np.clip(rng.beta(4, 2, seen.sum()), 0.05, 0.98)
        rows = np.hstack(
            [centres - sides / 2, centres + sides / 2, scores[:, None], kinds[seen][:, None]]
        )
        for _ in range(rng.poisson(noise)):
            x, y = rng.uniform((0, 0), (WIDTH, HEIGHT))
            if classes == 1:
                rows = np.vstack([rows, (x, y, x + 40, y + 50, rng.uniform(0.05, 0.5), 0)])
        frames.append(np.round(rows[np.argsort(-rows[:, 4], kind="stable")], 3))
    return frames


def recorded(file: Path) -> list[np.ndarray]:
    """Return the detections of each frame of a rendered video, as :func:`crowd` does.

    They are in pixels of the network's frame, which are as good as any.
    """
    sys.path.insert(0, str(ROOT / "src" / "builder" / "served_models" / "postprocess"))
    from nms import Thresholds, select_detections  # noqa: PLC0415 - served code

    thresholds = Thresholds(conf=DEFAULTS["track_low"], iou=0.7, max_det=300)
    frames = []
    # Only the arrays of numbers: the rest of the file are pickled objects.
    for candidates in np.load(file)["found"][:RECORDED_FRAMES]:
        rows = select_detections(candidates, thresholds).astype(np.float64)
        rows[:, 5] = 0
        frames.append(np.round(rows, 3))
    return frames


def ids_of(frames: list[np.ndarray], settings: dict[str, float]) -> list[list[int]]:
    """Return the id of each detection of each frame, 0 where it is none of a track."""
    tracker = BYTETracker(
        IterableSimpleNamespace(
            track_high_thresh=settings["track_high"],
            track_low_thresh=settings["track_low"],
            new_track_thresh=settings["track_high"],
            track_buffer=settings["track_buffer"],
            match_thresh=0.8,
            fuse_score=True,
        )
    )
    found = []
    for rows in frames:
        boxes = rows.astype(np.float32)
        size = boxes[:, 2:4] - boxes[:, :2]
        xywh = np.hstack([boxes[:, :2] + size / 2, size])
        ids = np.zeros(len(rows), int)
        for row in tracker.update(Found(xywh, boxes[:, 4], boxes[:, 5])):
            # A track that was found again in this very frame and is shown has this frame's box.
            ids[int(row[7])] = int(row[4])
        found.append(ids.tolist())
    return found


def main() -> int:
    """Write the file."""
    folder = Path(sys.argv[1])
    scenes = {
        **{
            f"recorded: {name}": (recorded(folder / f"{name}_0_15.npz"), DEFAULTS)
            for name in ("posts", "crossing")
        },
        "sparse": (crowd(1, 6, 1, 0.05, 0), DEFAULTS),
        "crowd": (crowd(2, 14, 1, 0.15, 1), DEFAULTS),
        "several classes": (crowd(3, 9, 3, 0.1, 0), DEFAULTS),
        "high thresholds, short buffer": (
            crowd(4, 10, 1, 0.2, 1),
            {"track_high": 0.5, "track_low": 0.2, "track_buffer": 8},
        ),
    }
    content = {
        name: {
            "settings": settings,
            "frames": [rows.tolist() for rows in frames],
            "ids": ids_of(frames, settings),
        }
        for name, (frames, settings) in scenes.items()
    }
    TARGET.write_text(json.dumps(content, separators=(",", ":")) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
