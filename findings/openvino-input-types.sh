#!/bin/sh
# OpenVINO 2026.4.1: an array of another type is turned into the input's type without a word.
#
# Expected: a float32 picture for a uint8 input is refused, as by ONNX Runtime 1.32.0: 0 to 1 and
#   0 to 255 cannot be told apart by a cast.
# Seen: openvino's Python casts as numpy does. A picture normalised to 0 to 1 arrives as zeros with
#   here and there a one, 300 as 44 and -1 as 255, and the network answers that it sees nothing.
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

cast = helper.make_node("Cast", ["picture"], ["pixels"], to=TensorProto.FLOAT)
picture = helper.make_tensor_value_info("picture", TensorProto.UINT8, [1, 5])
pixels = helper.make_tensor_value_info("pixels", TensorProto.FLOAT, [1, 5])
graph = helper.make_graph([cast], "first", [picture], [pixels])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
onnx.checker.check_model(model, full_check=True)
given = np.array([[0.5, 0.99, 1.0, 300.0, -1.0]], np.float32)

core = openvino.Core()
compiled = core.compile_model(core.read_model(model.SerializeToString()), "CPU")
try:
    openvino_says = compiled(given)[0][0].tolist()
except Exception as error:
    openvino_says = type(error).__name__
session = onnxruntime.InferenceSession(
    model.SerializeToString(), providers=["CPUExecutionProvider"]
)
try:
    onnxruntime_says = session.run(None, {"picture": given})[0][0].tolist()
except Exception as error:
    onnxruntime_says = type(error).__name__

print("openvino", openvino.__version__, "onnxruntime", onnxruntime.__version__)
print("float32 for a uint8 input:", given[0].tolist())
print("expected: both refuse it")
print("seen: onnxruntime", onnxruntime_says, "openvino", openvino_says)
if onnxruntime_says != "InvalidArgument" or openvino_says != [0.0, 0.0, 1.0, 44.0, 255.0]:
    raise SystemExit("CHANGED: this is no longer what was found")
print("as found")
EOF
