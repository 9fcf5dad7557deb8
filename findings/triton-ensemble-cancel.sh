#!/bin/sh
# Triton 24.10 (nvidia-pytriton 0.7.0): an ensemble's first step never hears of a cancelled call.
#
# Expected: a client's cancel reaches request.is_cancelled() of the Python model that works for it,
#   as it does when the model is called by itself, and no later step of the ensemble begins.
# Seen: in an ensemble the first step sees False until its end, and the next one is called all the
#   same; only there is_cancelled() is True. Work for clients that hung up is done in full.
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
mkdir -p backends/python models/first/1 models/second/1 models/both/1
ln -s "$triton"/backends/python/* "$stub"/* backends/python/
cat > models/first/1/model.py <<'EOF'
import time, triton_python_backend_utils as pb_utils
class TritonPythonModel:
    def initialize(self, args):
        self.name = args["model_name"]
    def execute(self, requests):
        end = time.monotonic() + 1.5
        while not requests[0].is_cancelled() and time.monotonic() < end:
            time.sleep(0.01)
        print("STEP", self.name, requests[0].is_cancelled(), flush=True)
        x = pb_utils.get_input_tensor_by_name(requests[0], "x").as_numpy()
        return [pb_utils.InferenceResponse([pb_utils.Tensor("y", x)])]
EOF
cp models/first/1/model.py models/second/1/
ends='input { name: "x" data_type: TYPE_INT32 dims: [1] }
    output { name: "y" data_type: TYPE_INT32 dims: [1] }'
echo "backend: \"python\" $ends" | tee models/first/config.pbtxt > models/second/config.pbtxt
cat > models/both/config.pbtxt <<EOF
platform: "ensemble" $ends ensemble_scheduling { step [
{ model_name: "first" model_version: -1 input_map { key: "x" value: "x" }
  output_map { key: "y" value: "m" } },
{ model_name: "second" model_version: -1 input_map { key: "x" value: "m" }
  output_map { key: "y" value: "y" } }
] }
EOF
PATH=$work/venv/bin:$PATH LD_LIBRARY_PATH=$site/nvidia_pytriton.libs:$libpython \
    "$triton/bin/tritonserver" --model-repository=models --backend-directory=backends \
    --allow-http=0 --allow-metrics=0 --grpc-address=127.0.0.1 --grpc-port="$port" > log 2>&1 &
server=$!
until grep -q "Started GRPC" log; do kill -0 "$server"; sleep 0.2; done
venv/bin/python - "$port" <<'EOF'
import sys, time
import numpy as np, tritonclient.grpc as grpcclient

client = grpcclient.InferenceServerClient(f"127.0.0.1:{sys.argv[1]}")
x = grpcclient.InferInput("x", [1], "INT32")
x.set_data_from_numpy(np.array([1], np.int32))
print("tritonserver", client.get_server_metadata().version)
print("expected: is_cancelled() of first is True in both; second is not called")
seen = []
for model in ("first", "both"):
    call = client.async_infer(model, [x], lambda result, error: None)
    time.sleep(0.5)
    call.cancel()
    time.sleep(4)
    seen.append([line[5:].strip() for line in open("log") if line.startswith("STEP")])
    print(f"seen after a cancel of {model} (is_cancelled() so far):", ", ".join(seen[-1]))
if seen != [["first True"], ["first True", "first False", "second True"]]:
    raise SystemExit("CHANGED: this is no longer what was found")
print("as found")
EOF
