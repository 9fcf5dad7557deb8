#!/bin/sh
# trackers 2.6.1: update() gives detections back in an order that changes from frame to frame.
#
# Expected: trackers fill in tracker_id and leave the rows where they are, so that masks, crops or
#   labels beside them still fit by index, whichever tracker is used.
# Seen: SORTTracker does so. ByteTrackTracker and OCSORTTracker return as many rows in another
#   order, ByteTrackTracker in one order for the first frame and in another from the second on.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install -q --no-compile --disable-pip-version-check \
    numpy==2.4.6 supervision==0.31.2 trackers==2.6.1
cd "$work"
venv/bin/python - <<'EOF'
from importlib.metadata import version

import numpy as np
import supervision
import trackers

KNOWN = {
    "SORTTracker": [[0, 1, 2, 3], [0, 1, 2, 3], [0, 1, 2, 3]],
    "ByteTrackTracker": [[1, 0, 2, 3], [0, 2, 1, 3], [0, 2, 1, 3]],
    "OCSORTTracker": [[0, 2, 3, 1], [0, 2, 3, 1], [0, 2, 3, 1]],
}
print("trackers", version("trackers"), "supervision", version("supervision"))
print("4 objects that move a pixel a frame; expected: rows 0 1 2 3 in every frame")
seen = {}
for name in KNOWN:
    tracker = getattr(trackers, name)()
    seen[name] = []
    for number in range(3):
        lefts = np.array([100 + number, 300 + number, 500 + number, 700 + number])
        boxes = np.stack([lefts, lefts * 0 + 10, lefts + 40, lefts * 0 + 50], axis=1)
        detections = supervision.Detections(
            xyxy=boxes.astype(float),
            confidence=np.array([0.9, 0.3, 0.95, 0.6]),
            class_id=np.zeros(4, int),
        )
        tracked = tracker.update(detections).xyxy[:, 0]
        seen[name].append([int(np.abs(lefts - left).argmin()) for left in tracked])
    print(f"seen: {name}: rows", *seen[name])
if seen != KNOWN:
    raise SystemExit("CHANGED: this is no longer what was found")
print("as found")
EOF
