#!/bin/sh
# OpenVINO 2026.4.1 (CPU): NonMaxSuppression drops a box whose IoU is equal to the threshold.
#
# Expected: as in ONNX Runtime 1.32.0 and in most of the field, a box goes when it overlaps a better
#   one by more than iou_threshold: at 0 boxes that do not overlap are kept, at 1 all are.
# Seen: OpenVINO drops what is equal. A threshold of 1.0, often used to turn NMS off, still removes
#   boxes that are the same, and 0.0 leaves one box of a whole picture.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install -q --no-compile --disable-pip-version-check \
    numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0 openvino==2026.4.1
export ORT_DISABLE_TELEMETRY=1
cd "$work"
venv/bin/python - <<'EOF'
import numpy as np
import onnx
import onnxruntime
import openvino
from onnx import TensorProto, helper, numpy_helper

# Three boxes each (y1, x1, y2, x2), best first: the second has exactly the threshold's IoU.
CASES = {
    0.0: [[0, 0, 1, 1], [0, 1, 1, 2], [5, 5, 6, 6]],
    0.5: [[0, 0, 2, 1], [0, 0, 1, 1], [5, 5, 6, 6]],
    1.0: [[0, 0, 1, 1], [0, 0, 1, 1], [5, 5, 6, 6]],
}
KNOWN = {0.0: [0], 0.5: [0, 2], 1.0: [0, 2]}
SCORES = np.array([[[0.9, 0.8, 0.7]]], np.float32)


def model(iou):
    constants = [
        numpy_helper.from_array(np.array([100], np.int64), "most"),
        numpy_helper.from_array(np.array([iou], np.float32), "iou"),
        numpy_helper.from_array(np.array([0.1], np.float32), "score"),
    ]
    names = ["boxes", "scores", "most", "iou", "score"]
    nms = helper.make_node("NonMaxSuppression", names, ["rows"])
    inputs = [
        helper.make_tensor_value_info("boxes", TensorProto.FLOAT, [1, 3, 4]),
        helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 1, 3]),
    ]
    rows = helper.make_tensor_value_info("rows", TensorProto.INT64, ["n", 3])
    graph = helper.make_graph([nms], "nms", inputs, [rows], constants)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(made, full_check=True)
    return made.SerializeToString()


print("openvino", openvino.__version__, "onnxruntime", onnxruntime.__version__)
print("expected: both keep boxes 0, 1, 2")
core = openvino.Core()
changed = False
for iou, boxes in CASES.items():
    feed = {"boxes": np.array([boxes], np.float32), "scores": SCORES}
    session = onnxruntime.InferenceSession(model(iou), providers=["CPUExecutionProvider"])
    of_onnxruntime = session.run(None, feed)[0][:, 2].tolist()
    compiled = core.compile_model(core.read_model(model(iou)), "CPU")
    of_openvino = compiled(feed)[0][:, 2].tolist()
    print(f"seen: IoU = iou_threshold = {iou}: onnxruntime {of_onnxruntime} openvino {of_openvino}")
    changed |= of_onnxruntime != [0, 1, 2] or of_openvino != KNOWN[iou]
if changed:
    raise SystemExit("CHANGED: this is no longer what was found")
print("as found")
EOF
