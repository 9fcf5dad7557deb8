#!/bin/sh
# OpenVINO 2026.4.1 (CPU): Relu, Clip, Max and Min make 0 of NaN; ReduceMax goes by position.
#
# Expected: NaN goes through Relu, Clip, Max and Min, as it does in ONNX Runtime 1.32.0, numpy and
#   torch, so that a check of the outputs shows a network that overflowed; a maximum of values with
#   a NaN among them is NaN, or it is not, wherever the NaN stands.
# Seen: OpenVINO answers 0 for all four, and a broken network looks healthy behind its next
#   activation. ReduceMax of three values depends, in both runtimes, on where the NaN is: OpenVINO
#   says NaN only if it is the last, ONNX Runtime only if it is the first.
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

NAN = float("nan")
core = openvino.Core()


def run(operator, values):
    """Return what ONNX Runtime and OpenVINO make of the values, as text."""
    inputs = ["x", "zero"] if operator in ("Clip", "Max", "Min") else ["x"]
    reduces = operator == "ReduceMax"
    node = helper.make_node(operator, inputs, ["y"], **({"axes": [0]} if reduces else {}))
    shape = [len(values)]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1] if reduces else shape)
    zero = [numpy_helper.from_array(np.float32(0), "zero")] if len(inputs) > 1 else []
    graph = helper.make_graph([node], "nan", [x], [y], zero)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(made, full_check=True)
    array = np.array(values, np.float32)
    session = onnxruntime.InferenceSession(
        made.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    compiled = core.compile_model(core.read_model(made.SerializeToString()), "CPU")
    return str(session.run(None, {"x": array})[0].tolist()), str(compiled(array)[0].tolist())


KNOWN = [
    ("Relu", [NAN, 1, NAN, -1], "[nan, 1.0, nan, 0.0]", "[0.0, 1.0, 0.0, 0.0]"),
    ("Clip", [NAN, 1, NAN, -1], "[nan, 1.0, nan, 0.0]", "[0.0, 1.0, 0.0, 0.0]"),
    ("Max", [NAN, 1, NAN, -1], "[nan, 1.0, nan, 0.0]", "[0.0, 1.0, 0.0, 0.0]"),
    ("Min", [NAN, 1, NAN, -1], "[nan, 0.0, nan, -1.0]", "[0.0, 0.0, 0.0, -1.0]"),
    ("ReduceMax", [NAN, 1, 3], "[nan]", "[3.0]"),
    ("ReduceMax", [1, NAN, 3], "[3.0]", "[3.0]"),
    ("ReduceMax", [3, 1, NAN], "[3.0]", "[nan]"),
]
print("openvino", openvino.__version__, "onnxruntime", onnxruntime.__version__)
print("expected: NaN goes through; ReduceMax does not depend on the order")
changed = False
for operator, values, *known in KNOWN:
    seen = run(operator, values)
    print(f"seen: {operator} of {values}: onnxruntime {seen[0]} openvino {seen[1]}")
    changed |= list(seen) != known
if changed:
    raise SystemExit("CHANGED: this is no longer what was found")
print("as found")
EOF
