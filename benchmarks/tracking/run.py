"""What fewer looks cost a tracker: HOTA, MOTA and IDF1 on videos with known identities.

    PYTHONPATH=src:. .venv/bin/python benchmarks/tracking/run.py --out DIR

The demo detector looks at every frame once, and the served code is given its candidates for every
frame, and for 10, 5 and 2 frames a second: the same NMS, tracker and predicted boxes as in the
detect step. Evaluated by TrackEval (`pip install trackeval`, in an environment of its own: no extra
of Framewire has it); for MOTA and IDF1 boxes match from an overlap of 0.5 on. Writes
DIR/tracking.json and DIR/tracking.svg, and prints the table of docs/streaming.md.
"""

from __future__ import annotations

import argparse
import json
import sys
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).parents[2]
sys.path[:0] = [
    str(ROOT / "src" / "builder" / "served_models" / folder)
    for folder in ("shared", "preprocess", "postprocess", "detect", "stream")
]
sys.path.insert(0, str(Path(__file__).parent))
import thin_client.contract  # noqa: E402

sys.modules["contract"] = thin_client.contract

import onnxruntime  # noqa: E402
from trackeval.metrics import CLEAR, HOTA, Identity  # noqa: E402

from builder.benchmark.svg import Line, line_plot  # noqa: E402
from decode import DecodeLimits  # noqa: E402
from frames import FrameFormat  # noqa: E402
from letterbox import draw_letterboxed  # noqa: E402
from looks import LookSettings, Schedule  # noqa: E402
from nms import Thresholds, overlaps  # noqa: E402
from scenes import FPS, HEIGHT, KINDS, WIDTH, Frame, frames  # noqa: E402
from stream_answers import Packet, new_stream  # noqa: E402
from stream_frames import Note, StreamFrame  # noqa: E402

NETWORK = ROOT / "model_repository" / "codes_network" / "1" / "model.onnx"
FRAMES = FrameFormat(640, 640, DecodeLimits(2**30, 2**30), stride=32)
THRESHOLDS = Thresholds(conf=0.25, iou=0.7, max_det=300)
TRACKING = np.array([0.25, 0.1, 30, 2], np.float32)
EVERY = float(FPS)
RATES = (EVERY, 10.0, 5.0, 2.0)
OVERLAP = 0.5
# A file of its own has no page whose style it could take.
STYLE = (
    "<style>svg{fill:#333}text{font:11px sans-serif}.grid{stroke:#ddd}"
    "@media(prefers-color-scheme:dark){svg{background:#fff}}</style>"
)


def candidates(kind: str, seed: int, seconds: float) -> tuple[list[Frame], list[NDArray]]:
    """Return the frames of a scene without their pixels, and what the network makes of them."""
    session = onnxruntime.InferenceSession(NETWORK, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    shape = FRAMES.shape_for([(WIDTH, HEIGHT)])
    box = FRAMES.plan(WIDTH, HEIGHT, shape)
    seen, found = [], []
    for frame in frames(kind, seed, seconds):
        pixels = np.empty(shape, np.uint8)
        draw_letterboxed(frame.picture, pixels, box)
        found.append(session.run(None, {name: pixels[None]})[0][0])
        seen.append(Frame(np.empty(0, np.uint8), frame.identities, frame.kinds, frame.boxes_xyxy))
    return seen, found


def tracked(found: list[NDArray], looks: float) -> list[tuple[NDArray, NDArray]]:
    """Return ids and boxes of each frame, with so many looks a second."""
    shape = FRAMES.shape_for([(WIDTH, HEIGHT)])
    geometry = FRAMES.plan(WIDTH, HEIGHT, shape).geometry()
    schedule = Schedule(LookSettings(looks).fps)
    answers, shown = None, []
    for number, of_frame in enumerate(found):
        now_us = number * 1_000_000 // FPS
        due = schedule.is_due(now_us) or looks == EVERY
        if due:
            schedule.looked(now_us)
        notes = Note.FRAME | Note.TRACKED | (Note.LOOK if due else Note(0))
        frame = StreamFrame(1, 0, notes, number, WIDTH, HEIGHT, now_us)
        if answers is None:
            answers = new_stream(frame, TRACKING, THRESHOLDS.max_det)
        packet = Packet(None, frame, THRESHOLDS, geometry, np.zeros(4), None, 0.0, done=True)
        packet.candidates = of_frame if due else None
        answers.add(packet)
        ((_, rows),) = answers.ready()
        has_track = rows.track_ids > 0
        shown.append((rows.track_ids[has_track], rows.boxes_xyxy[has_track]))
    return shown


def sequence(seen: list[Frame], shown: list[tuple[NDArray, NDArray]]) -> dict[str, Any]:
    """Return a scene as TrackEval's metrics take it: ids counted from 0, overlaps of each frame."""
    known = {int(each): n for n, each in enumerate(sorted({*chain(*(f.identities for f in seen))}))}
    tracks = {int(each): n for n, each in enumerate(sorted({*chain(*(ids for ids, _ in shown))}))}
    pairs = list(zip(seen, shown, strict=True))
    return {
        "num_timesteps": len(seen),
        "num_gt_ids": len(known),
        "num_tracker_ids": len(tracks),
        "num_gt_dets": sum(len(frame.identities) for frame in seen),
        "num_tracker_dets": sum(len(ids) for ids, _ in shown),
        "gt_ids": [np.array([known[int(i)] for i in frame.identities], int) for frame in seen],
        "tracker_ids": [np.array([tracks[int(i)] for i in ids], int) for ids, _ in shown],
        "similarity_scores": [
            overlaps(frame.boxes_xyxy.astype(np.float32), boxes) for frame, (_, boxes) in pairs
        ],
    }


def evaluate(scenes: list[tuple[list[Frame], list[NDArray]]], looks: float) -> dict[str, float]:
    """Return the figures over all scenes."""
    sequences = {
        str(number): sequence(seen, tracked(found, looks))
        for number, (seen, found) in enumerate(scenes)
    }
    quiet = {"PRINT_CONFIG": False, "THRESHOLD": OVERLAP}
    found = {}
    for metric in (HOTA(), CLEAR(quiet), Identity(quiet)):
        each = {name: metric.eval_sequence(data) for name, data in sequences.items()}
        found |= metric.combine_sequences(each)
    return {
        "looks": looks,
        "hota": float(np.mean(found["HOTA"])),
        "mota": float(found["MOTA"]),
        "idf1": float(found["IDF1"]),
        "switches": int(found["IDSW"]),
    }


def main() -> None:
    """Render, look, track, evaluate."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--seeds", type=int, default=2)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    scenes = []
    for kind in KINDS:
        for seed in range(arguments.seeds):
            file = arguments.out / f"{kind.replace(' ', '_')}_{seed}_{arguments.seconds:g}.npz"
            if file.exists():
                kept = np.load(file, allow_pickle=True)
                scenes.append((list(kept["seen"]), list(kept["found"])))
                continue
            seen, found = candidates(kind, seed, arguments.seconds)
            scenes.append((seen, found))
            of_all = np.empty(len(seen), object)
            of_all[:] = seen
            np.savez_compressed(file, seen=of_all, found=np.array(found))
            print(f"{kind}, {seed}: {len(seen)} frames", file=sys.stderr, flush=True)
    results = [evaluate(scenes, looks) for looks in RATES]
    (arguments.out / "tracking.json").write_text(json.dumps(results, indent=1) + "\n")
    print("| looks a second | HOTA | MOTA | IDF1 | switches | IDF1 over that of every frame |")
    print("|---|---:|---:|---:|---:|---:|")
    for each in results:
        name = "every frame (30)" if each["looks"] == EVERY else f"{each['looks']:g}"
        print(
            f"| {name} | {each['hota']:.3f} | {each['mota']:.3f} | {each['idf1']:.3f} "
            f"| {each['switches']} | {each['idf1'] / results[0]['idf1']:.3f} |"
        )
    lines = [
        Line(name, sorted((each["looks"], 100 * each[key]) for each in results))
        for name, key in (("HOTA", "hota"), ("MOTA", "mota"), ("IDF1", "idf1"))
    ]
    plot = line_plot("Tracking with fewer looks", "looks a second", "per cent", lines)
    plot = plot.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
    head, _, rest = plot.partition("\n")
    (arguments.out / "tracking.svg").write_text(f"{head}\n{STYLE}\n{rest}\n")


if __name__ == "__main__":
    main()
