#!/bin/sh
# Triton 24.10 (nvidia-pytriton 0.7.0): statistics count Python models' errors as successes.
#
# Expected: a request answered with InferenceResponse(error=...) is one of "fail" in the model's
#   statistics, as one whose execute() raised is; one that is answered through its response sender
#   after 0.3 s has about 0.3 s of compute time.
# Seen: error responses are successes, whatever the client is told, and with a sender only the time
#   counts in which execute() took the request on.
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
mkdir -p backends/python models/refuses/1 models/raises/1 models/sends/1
ln -s "$triton"/backends/python/* "$stub"/* backends/python/
cat > models/refuses/1/model.py <<'EOF'
import triton_python_backend_utils as pb_utils
class TritonPythonModel:
    def execute(self, requests):
        error = pb_utils.TritonError("no picture")
        return [pb_utils.InferenceResponse(error=error) for _ in requests]
EOF
cat > models/raises/1/model.py <<'EOF'
class TritonPythonModel:
    def execute(self, requests):
        raise ValueError("no picture")
EOF
cat > models/sends/1/model.py <<'EOF'
import threading, time, triton_python_backend_utils as pb_utils
class TritonPythonModel:
    def execute(self, requests):
        threading.Thread(target=self.answer, args=requests).start()
    def answer(self, request):
        x = pb_utils.get_input_tensor_by_name(request, "x").as_numpy()
        time.sleep(0.3)
        answer = pb_utils.InferenceResponse([pb_utils.Tensor("y", x)])
        request.get_response_sender().send(answer, pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
EOF
ends='input { name: "x" data_type: TYPE_INT32 dims: [1] }
    output { name: "y" data_type: TYPE_INT32 dims: [1] }'
for model in models/*; do echo "backend: \"python\" $ends" > $model/config.pbtxt; done
PATH=$work/venv/bin:$PATH LD_LIBRARY_PATH=$site/nvidia_pytriton.libs:$libpython \
    "$triton/bin/tritonserver" --model-repository=models --backend-directory=backends \
    --allow-http=0 --allow-metrics=0 --grpc-address=127.0.0.1 --grpc-port="$port" > log 2>&1 &
server=$!
until grep -q "Started GRPC" log; do kill -0 "$server"; sleep 0.2; done
venv/bin/python - "$port" <<'EOF'
import sys, numpy as np, tritonclient.grpc as grpcclient

client = grpcclient.InferenceServerClient(f"127.0.0.1:{sys.argv[1]}")
x = grpcclient.InferInput("x", [1], "INT32")
x.set_data_from_numpy(np.array([1], np.int32))
print("tritonserver", client.get_server_metadata().version)
print("10 requests each; expected: refuses and raises fail 10, sends computes for 300 ms each")
seen = {}
for model in ("refuses", "raises", "sends"):
    told = 0
    for _ in range(10):
        try:
            client.infer(model, [x])
        except grpcclient.InferenceServerException:
            told += 1
    counted = client.get_inference_statistics(model).model_stats[0].inference_stats
    ms = counted.compute_infer.ns / 1e6 / 10
    seen[model] = (told, counted.success.count, counted.fail.count)
    print(f"seen: {model}: errors, success, fail {seen[model]}, compute {ms:.0f} ms")
if seen != {"refuses": (10, 10, 0), "raises": (10, 0, 10), "sends": (0, 10, 0)} or ms > 150:
    raise SystemExit("CHANGED: this is no longer what was found")
print("as found")
EOF
