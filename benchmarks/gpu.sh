#!/bin/sh
# All that is asked of a GPU, in at most eight minutes: decoding on all cores against nvJPEG, then 1080p
# JPEGs to boxes with the network on the GPU at full load (target 6) and at 30 % and 70 % of it.
# PYTHON has Framewire with the extra `served`, torch and torchvision with CUDA, and onnx; see
# docs/benchmark.md. Results: build/gpu.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-python}
mkdir -p build/gpu
timeout 120 "$python" benchmarks/gpu_decoding.py samples/*.jpg | tee build/gpu/decoding.txt
timeout 360 "$python" -m builder.cli bench samples --gpu --no-sweep --no-comparison --rounds 3 \
    --window-ms 1000 --max-concurrency 64 --out build/gpu | tee build/gpu/results.txt
