#!/bin/sh
# Triton 24.10 (nvidia-pytriton 0.7.0): with max_queue_size even small bursts wait half seconds.
#
# Expected: max_queue_size refuses what would be one too many. A queue that never holds a tenth of
#   it behaves as one without.
# Seen: of two steps of 2 ms that batch by 8, a burst of 24 requests takes 20 to 100 ms; with
#   max_queue_size 1000 at both steps nearly every burst takes a half second more, or several: what
#   is left in a queue when its model is done waits for the next request, or for half a second.
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
mkdir -p backends/python models/a_free/1 models/b_free/1 models/a_bound/1 models/b_bound/1 \
    models/free/1 models/bound/1
ln -s "$triton"/backends/python/* "$stub"/* backends/python/
cat > model.py <<'EOF'
import time, triton_python_backend_utils as pb_utils
class TritonPythonModel:
    def execute(self, requests):
        time.sleep(0.002)
        xs = [pb_utils.get_input_tensor_by_name(request, "x").as_numpy() for request in requests]
        return [pb_utils.InferenceResponse([pb_utils.Tensor("y", x)]) for x in xs]
EOF
ends='input { name: "x" data_type: TYPE_INT32 dims: [1] }
    output { name: "y" data_type: TYPE_INT32 dims: [1] }'
for kind in free bound; do
    [ $kind = free ] && policy= || policy='default_queue_policy { max_queue_size: 1000 }'
    for step in a b; do
        cp model.py models/${step}_$kind/1/
        echo "backend: \"python\" max_batch_size: 8 dynamic_batching { $policy } $ends" \
            > models/${step}_$kind/config.pbtxt
    done
    cat > models/$kind/config.pbtxt <<EOF
platform: "ensemble" max_batch_size: 8 $ends ensemble_scheduling { step [
{ model_name: "a_$kind" model_version: -1 input_map { key: "x" value: "x" }
  output_map { key: "y" value: "m" } },
{ model_name: "b_$kind" model_version: -1 input_map { key: "x" value: "m" }
  output_map { key: "y" value: "y" } }
] }
EOF
done
PATH=$work/venv/bin:$PATH LD_LIBRARY_PATH=$site/nvidia_pytriton.libs:$libpython \
    "$triton/bin/tritonserver" --model-repository=models --backend-directory=backends \
    --allow-http=0 --allow-metrics=0 --grpc-address=127.0.0.1 --grpc-port="$port" > log 2>&1 &
server=$!
until grep -q "Started GRPC" log; do kill -0 "$server"; sleep 0.2; done
venv/bin/python - "$port" <<'EOF'
import queue, statistics, sys, time, numpy as np, tritonclient.grpc as grpcclient

client = grpcclient.InferenceServerClient(f"127.0.0.1:{sys.argv[1]}")
x = grpcclient.InferInput("x", [1, 1], "INT32")
x.set_data_from_numpy(np.array([[1]], np.int32))

def burst_s(model):
    answers, start = queue.Queue(), time.monotonic()
    for _ in range(24):
        client.async_infer(model, [x], lambda result, error: answers.put(error))
    assert not any([answers.get(timeout=60) for _ in range(24)])
    return time.monotonic() - start

print("tritonserver", client.get_server_metadata().version)
print("expected: the same time for a burst of 24, with max_queue_size 1000 and without")
times = {model: sorted(burst_s(model) for _ in range(12)) for model in ("free", "bound")}
for model, seconds in times.items():
    print(f"seen: {model:5}", *(f"{second:.2f}" for second in seconds), "s")
if statistics.median(times["free"]) > 0.4 or statistics.median(times["bound"]) < 0.5:
    raise SystemExit("CHANGED: this is no longer what was found")
print("as found")
EOF
