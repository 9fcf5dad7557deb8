#!/bin/sh
# Triton 24.10 (nvidia-pytriton 0.7.0): what a Python model returns is not compared with its config.
#
# Expected: a model that returns another type or shape than its config promises, or its output
#   under a wrong name, fails that request as the server's fault (INTERNAL).
# Seen: clients get FP64 for TYPE_FP32, [2, 3] for dims [2], and a success without any output for a
#   wrong name. Inside an ensemble the same mistake is called INVALID_ARGUMENT, the client's fault.
# Needs x86-64 and a Python with a shared libpython (Debian: libpython3.11).
set -eu
work=$(mktemp -d) server=
trap 'kill $server 2>/dev/null || true; wait; rm -rf "$work"' EXIT
trap 'exit 1' INT TERM; cd "$work"
"${PYTHON:-python3}" -m venv venv
pip="venv/bin/pip install -q --no-compile --disable-pip-version-check"
$pip numpy==1.26.4 'tritonclient[grpc]==2.73.0'; $pip --no-deps nvidia-pytriton==0.7.0
site=$(echo "$work"/venv/lib/python3*/site-packages)
triton=$site/pytriton/tritonserver
stub=$triton/python_backend_stubs/$(basename "${site%/site-packages}" | sed s/python//)
libpython=$(venv/bin/python -c 'import sysconfig; print(sysconfig.get_config_var("LIBDIR"))')
port=$(venv/bin/python -c 'import socket; print(socket.create_server(("", 0)).getsockname()[1])')
mkdir -p backends/python models/odd/1 models/next/1 models/both/1
ln -s "$triton"/backends/python/* "$stub"/* backends/python/
cat > models/odd/1/model.py <<'EOF'
import numpy as np, triton_python_backend_utils as pb_utils
GOOD, WIDE, TALL = np.ones(2, np.float32), np.ones(2), np.ones((2, 3), np.float32)
ANSWERS = [("y", GOOD), ("y", WIDE), ("y", TALL), ("z", GOOD)]
class TritonPythonModel:
    def execute(self, requests):
        x = pb_utils.get_input_tensor_by_name(requests[0], "x").as_numpy()
        return [pb_utils.InferenceResponse([pb_utils.Tensor(*ANSWERS[x[0]])])]
EOF
sed 's/x\[0\]/0/' models/odd/1/model.py > models/next/1/model.py
ends() {
    echo "input { name: \"x\" data_type: $1 dims: [$2] }"
    echo 'output { name: "y" data_type: TYPE_FP32 dims: [2] }'
}
echo "backend: \"python\" $(ends TYPE_INT32 1)" > models/odd/config.pbtxt
echo "backend: \"python\" $(ends TYPE_FP32 2)" > models/next/config.pbtxt
cat > models/both/config.pbtxt <<EOF
platform: "ensemble" $(ends TYPE_INT32 1) ensemble_scheduling { step [
{ model_name: "odd" model_version: -1 input_map { key: "x" value: "x" }
  output_map { key: "y" value: "m" } },
{ model_name: "next" model_version: -1 input_map { key: "x" value: "m" }
  output_map { key: "y" value: "y" } }
] }
EOF
PATH=$work/venv/bin:$PATH LD_LIBRARY_PATH=$site/nvidia_pytriton.libs:$libpython \
    "$triton/bin/tritonserver" --model-repository=models --backend-directory=backends \
    --allow-http=0 --allow-metrics=0 --grpc-address=127.0.0.1 --grpc-port="$port" > log 2>&1 &
server=$!
until grep -q "Started GRPC" log; do kill -0 "$server"; sleep 0.2; done
venv/bin/python - "$port" <<'EOF'
import sys, numpy as np, tritonclient.grpc as grpcclient

client = grpcclient.InferenceServerClient(f"127.0.0.1:{sys.argv[1]}")
x = grpcclient.InferInput("x", [1], "INT32")


def ask(model, which):
    x.set_data_from_numpy(np.array([which], np.int32))
    try:
        outputs = client.infer(model, [x]).get_response().outputs
        return [f"{output.name} {output.datatype} {list(output.shape)}" for output in outputs]
    except grpcclient.InferenceServerException as error:
        return error.status()


print("tritonserver", client.get_server_metadata().version)
print("config: y TYPE_FP32 dims [2]; expected: StatusCode.INTERNAL for all but the first")
seen = []
for which, name in enumerate(("as promised", "float64", "[2, 3]", "named z")):
    seen.append((ask("odd", which), ask("both", which)))
    print(f"seen: {name}: alone {seen[-1][0]}, in an ensemble {seen[-1][1]}")
refused = "StatusCode.INVALID_ARGUMENT"
if seen[1:] != [(["y FP64 [2]"], refused), (["y FP32 [2, 3]"], refused), ([], refused)]:
    raise SystemExit("CHANGED: this is no longer what was found")
print("as found")
EOF
