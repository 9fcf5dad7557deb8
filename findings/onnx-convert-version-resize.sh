#!/bin/sh
# onnx 1.23.2: version_converter silently changes what a linear Resize or Upsample computes.
#
# Expected: onnx.version_converter.convert_version gives a model that computes the same. Resize-10
#   and Upsample-9 sample at x / scale; Resize-11 does so with
#   coordinate_transformation_mode="asymmetric", and by default does not.
# Seen: the converted node has no such attribute, so it means half_pixel. The checker is content
#   and results differ: here by up to 1.25 where neighbouring pixels differ by 1 and 4. Detectors of
#   2019 and 2020 (opset 9 and 10) have such nodes in their necks. Nearest comes out equal.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install -q --no-compile --disable-pip-version-check \
    numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0
export ORT_DISABLE_TELEMETRY=1
cd "$work"
venv/bin/python - <<'EOF'
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper, version_converter

PICTURE = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)


def run(model):
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, {"x": PICTURE})[0]


print("onnx", onnx.__version__, "onnxruntime", onnxruntime.__version__)
print("expected: the greatest difference after convert_version(model, 17) is 0")
changed = False
for operator, opset, mode, known in (
    ("Upsample", 9, "nearest", 0.0),
    ("Upsample", 9, "linear", 1.25),
    ("Resize", 10, "nearest", 0.0),
    ("Resize", 10, "linear", 1.25),
):
    scales = numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "scales")
    node = helper.make_node(operator, ["x", "scales"], ["y"], mode=mode)
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 4, 4])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, 8, 8])
    graph = helper.make_graph([node], "twice", [x], [y], [scales])
    opsets = [helper.make_opsetid("", opset)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=7)
    converted = version_converter.convert_version(model, 17)
    difference = float(np.abs(run(model) - run(converted)).max())
    attributes = [item.name for node in converted.graph.node for item in node.attribute]
    print(f"seen: {operator}-{opset} {mode}: {difference}, attributes {attributes}")
    changed |= difference != known or "coordinate_transformation_mode" in attributes
if changed:
    raise SystemExit("CHANGED: this is no longer what was found")
print("as found")
EOF
