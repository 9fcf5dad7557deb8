#!/bin/sh
# pycocotools 2.0.11: with other maxDets the summary mixes numbers of detections.
#
# Expected: params.maxDets = [1, 10, 300], for a detector of 300 rows, makes the summary say
#   AP, AP50 and AP75 at 300 detections a picture, as faster-coco-eval 1.8.0 does.
# Seen: AP stays at 100, whatever maxDets holds: it is -1 beside an AP50 of 1.0 when 100 is not
#   among them, and with [100, 300, 500] the AP of 100 detections stands above the AP50 of 500.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install -q --no-compile --disable-pip-version-check \
    numpy==2.4.6 pycocotools==2.0.11 faster-coco-eval==1.8.0
cd "$work"
venv/bin/python - <<'EOF'
import contextlib
import io
import json
from importlib.metadata import version

import faster_coco_eval
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

# One picture of 250 objects, each found exactly, with falling scores.
boxes = [[number % 30 * 33, number // 30 * 33, 20, 20] for number in range(250)]
base = {"image_id": 1, "category_id": 1, "area": 400, "iscrowd": 0}
truth = {
    "info": {},
    "images": [{"id": 1, "width": 1000, "height": 1000}],
    "categories": [{"id": 1, "name": "object"}],
    "annotations": [{**base, "id": 1 + number, "bbox": box} for number, box in enumerate(boxes)],
}
found = [{**base, "bbox": box, "score": 0.9 - number / 1000} for number, box in enumerate(boxes)]
json.dump(truth, open("truth.json", "w"))
json.dump(found, open("found.json", "w"))


def summary(dataset_class, evaluation_class, counts):
    with contextlib.redirect_stdout(io.StringIO()):
        dataset = dataset_class("truth.json")
        evaluation = evaluation_class(dataset, dataset.loadRes("found.json"), "bbox")
        evaluation.params.maxDets = counts
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return [round(float(value), 2) for value in evaluation.stats[:3]]


KNOWN = {
    (1, 10, 100): ([0.41, 0.41, 0.41], [0.41, 0.41, 0.41]),
    (1, 10, 300): ([-1.0, 1.0, 1.0], [1.0, 1.0, 1.0]),
    (100, 300, 500): ([0.41, 1.0, 1.0], [1.0, 1.0, 1.0]),
}
print("pycocotools", version("pycocotools"), "faster-coco-eval", version("faster-coco-eval"))
print("250 objects, all found; expected: AP, AP50, AP75 at the last of maxDets")
seen = {}
for counts in KNOWN:
    seen[counts] = (
        summary(COCO, COCOeval, list(counts)),
        summary(faster_coco_eval.COCO, faster_coco_eval.COCOeval_faster, list(counts)),
    )
    of_pycocotools, of_faster = seen[counts]
    print(f"seen: {list(counts)}: pycocotools {of_pycocotools}, faster-coco-eval {of_faster}")
if seen != KNOWN:
    raise SystemExit("CHANGED: this is no longer what was found")
print("as found")
EOF
