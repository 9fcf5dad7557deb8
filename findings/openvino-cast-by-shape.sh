#!/bin/sh
# OpenVINO 2026.4.1 (CPU): Cast to uint8 depends on whether the shape is static.
#
# Expected: ONNX leaves values out of range undefined, so runtimes may differ; one runtime gives the
#   same bytes for the same values, whatever batch size a model was exported with.
# Seen: with a static shape 300 becomes 44 and -1 becomes 255 (as in ONNX Runtime 1.32.0), with a
#   dynamic one the same graph gives 255 and 0. The pixels that a cubic Resize overshoots come out
#   inverted, or not, by how a model was exported.
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
from onnx import TensorProto, helper

VALUES = np.array([[300, 256, 255, 20, -1, -20]], np.float32)


def model(columns):
    cast = helper.make_node("Cast", ["x"], ["y"], to=TensorProto.UINT8)
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, columns])
    y = helper.make_tensor_value_info("y", TensorProto.UINT8, [1, columns])
    graph = helper.make_graph([cast], "cast", [x], [y])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(made, full_check=True)
    return made.SerializeToString()


seen = {}
core = openvino.Core()
for shape, columns in (("static", VALUES.shape[1]), ("dynamic", "n")):
    compiled = core.compile_model(core.read_model(model(columns)), "CPU")
    seen["openvino", shape] = compiled(VALUES)[0][0].tolist()
    session = onnxruntime.InferenceSession(model(columns), providers=["CPUExecutionProvider"])
    seen["onnxruntime", shape] = session.run(None, {"x": VALUES})[0][0].tolist()

known = {
    ("openvino", "static"): [44, 0, 255, 20, 255, 236],
    ("onnxruntime", "static"): [44, 0, 255, 20, 255, 236],
    ("openvino", "dynamic"): [255, 255, 255, 20, 0, 0],
    ("onnxruntime", "dynamic"): [44, 0, 255, 20, 255, 236],
}
print("openvino", openvino.__version__, "onnxruntime", onnxruntime.__version__)
print("Cast float32 to uint8 of", VALUES[0].tolist())
print("expected: OpenVINO gives the same for a static and a dynamic shape")
for (runtime, shape), row in seen.items():
    print(f"seen: {runtime:11} {shape:7} {row}")
if seen != known:
    raise SystemExit("CHANGED: this is no longer what was found")
print("as found")
EOF
