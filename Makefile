# make demo   see boxes: a real Triton, a sample picture, build/demo.png
# make test   run the tests, the real server included, but for the next two
# make test-containers  tests of the images, in Docker; make test-gpu  of that for GPUs, on one
# make drill  known failures, caused on purpose: a table of what they lost; SHORT=1 in minutes
# make heads  a table of every head: built, served, equal to the reference, known to TensorRT
# make fuzz   parsers of what comes from outside, each on strange inputs for FUZZ_SECONDS
# make bench  how fast: the sweep, the comparison, the targets; build/bench/report.html
# make stream-bench  ways to send video over links of 2 to 100 Mbit/s; needs root
# make cameras-bench  many cameras on the demo's own network, against an earlier build: c1 to c6
# make manifests  the Kubernetes manifests, with today's numbers, valid
# make check  ruff, mypy --strict, the import rule
# make image  images framewire-cpu and framewire-client; make image-gpu  the one for GPU servers
.DEFAULT_GOAL := demo
.PHONY: demo test test-containers test-gpu bench stream-bench cameras-bench drill heads fuzz check manifests \
    model_repository image image-gpu clean

PORTS := $(if $(GRPC_PORT),--grpc-port $(GRPC_PORT)) $(if $(HTTP_PORT),--http-port $(HTTP_PORT)) \
    $(if $(METRICS_PORT),--metrics-port $(METRICS_PORT))
# ONNX Runtime 1.29 and later tells Microsoft about models unless told not to.
export ORT_DISABLE_TELEMETRY := 1

PROJECTS := pyproject.toml thin_client/pyproject.toml .ci/make-environment
SERVED := src/builder/served_models

demo: .venv/.embedded
	@.venv/bin/framewire demo $(PORTS)

# A file's tests share servers, and each file waits for its own most of the time.
test: .venv/.test .venv/.bench
	.venv/bin/python -m pytest -m "not gpu and not containers and not alone" -n 2 --dist loadfile
	.venv/bin/python -m pytest -m "alone and not gpu and not containers"

# Of images that `make image` has made; docs/testing.md has the variables that name others. Two files
# at once; those that want a GPU, or say that there is none, one by one.
test-containers: .venv/.test
	.venv/bin/python -m pytest -m "containers and not gpu" -n 2 --dist loadfile tests/containers
	.venv/bin/python -m pytest -m "containers and gpu" tests/containers

# On a machine with a GPU: the same tests of the image of `make image-gpu`, and what only it can do.
test-gpu: .venv/.test
	FRAMEWIRE_GPU_REQUIRED=1 .venv/bin/python -m pytest -m "gpu" tests/containers

# What users would pick instead lies in an environment of its own: 6 GB, of which most is torch for
# GPUs (docs/benchmark.md has a way with less). make bench PEERS=no does without.
PEERS ?= yes
PEERS_PYTHON := .venv-peers/bin/python
PEER_MODELS := build/peers/codes.pt build/peers/codes_open.onnx samples/code_detector/codes.onnx

# What bfloat16 and rectangles lose is measured on scenes that the demo detector has not seen.
SCENES := build/bench_scenes

ifeq ($(PEERS),no)
bench: .venv/.bench $(SCENES)/images
	@.venv/bin/framewire bench samples --labelled $(SCENES)/images $(BENCH)
else
bench: .venv/.bench $(SCENES)/images .venv-peers/.made build/peers/codes.pt
	@.venv/bin/framewire bench samples --ultralytics $(PEERS_PYTHON) $(PEER_MODELS) \
	    --labelled $(SCENES)/images $(BENCH)
endif

# pip from .venv: a Debian may have none for a new environment.
.venv-peers/.made: benchmarks/peers/requirements.txt | .venv/.embedded
	@echo "installing ultralytics and LitServe into .venv-peers (the first time takes minutes)"
	@rm -rf .venv-peers
	@.venv/bin/python -m venv --without-pip .venv-peers
	@.venv/bin/python -m pip --python $(PEERS_PYTHON) install --quiet --disable-pip-version-check \
	    -r benchmarks/peers/requirements.txt
	@touch $@

# And beside it codes_open.onnx.
build/peers/codes.pt: benchmarks/peers/checkpoint.py samples/code_detector/codes.onnx .venv-peers/.made
	@$(PEERS_PYTHON) benchmarks/peers/checkpoint.py --onnx samples/code_detector/codes.onnx \
	    --yaml samples/code_detector/yolo11-codes.yaml --out build/peers >/dev/null

$(SCENES)/images: .venv/.bench
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check \
	    pillow pycocotools zxing-cpp
	@rm -rf $(SCENES)
	@.venv/bin/python samples/code_detector/scenes.py render --out $(SCENES) --count 200 --seed 100 \
	    --size 640 1280x720 720x1280 1280x960

# make stream-bench STREAM_BENCH="--links 4 --seconds 5": see docs/streaming.md.
stream-bench: .venv/.embedded
	@.venv/bin/python benchmarks/stream/run.py $(STREAM_BENCH)

# TrackEval wants a later numpy than the embedded Triton has; what is used of it does without.
build/tracking/packages: .venv/.bench
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps \
	    --target $@ trackeval==1.3.0 scipy==1.15.3 tabulate==0.9.0

# make cameras-bench CAMERAS_BENCH="--cameras 6 --codecs h264": see docs/streaming.md.
cameras-bench: .venv/.test .venv/.bench build/tracking/packages
	@PYTHONPATH=build/tracking/packages .venv/bin/python benchmarks/cameras/run.py $(CAMERAS_BENCH)

# make drill SHORT=1 ONLY="sigterm access": see docs/reliability.md. Some faults need root.
drill: .venv/.test
	@.venv/bin/python -m tests.drill $(if $(SHORT),--short) $(if $(ONLY),--only $(ONLY)) \
	    $(if $(JSON),--json $(JSON))

# make fuzz FUZZ_SECONDS=600: each target for as long; what it finds lies in build/fuzz.
FUZZ_SECONDS ?= 60
fuzz: .venv/.test
	@.venv/bin/python -c "import atheris" 2>/dev/null || \
	    .venv/bin/python -m pip install --quiet --disable-pip-version-check -e ".[fuzz]"
	@.venv/bin/python -m tests.fuzz.run $(FUZZ_SECONDS) $(FUZZ_TARGETS)

heads: .venv/.test
	@.venv/bin/python -m tests.heads.table

check: .venv/.test
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy src/builder thin_client
	@# Served models import their neighbours in the model's folder, so each is checked as one.
	@set -e; for model in preprocess network postprocess pipeline stream detect; do \
	    echo "mypy $(SERVED)/$$model"; \
	    MYPYPATH=$(SERVED)/shared:$(SERVED)/preprocess:$(SERVED)/postprocess:$(SERVED)/$$model:thin_client \
	        .venv/bin/mypy --explicit-package-bases $(SERVED)/$$model/*.py $(SERVED)/shared/*.py; \
	done
	.venv/bin/python -m pytest -q tests/test_imports.py

# The demo pipeline in the tree, made anew; a test fails when it is not what the builder makes.
model_repository: .venv/.embedded
	.venv/bin/framewire build samples/code_detector/codes.onnx --name codes \
	    --repository model_repository --runtime python --stream --replace

# make image BASE=...: another base with Python 3.10 to 3.12, such as one of .ci/make-base-image.
# Of the host's network is what pip and apt reach, not the ports.
DOCKER_BUILD := docker build --network host

image:
	$(DOCKER_BUILD) -f docker/Dockerfile.cpu $(if $(BASE),--build-arg BASE=$(BASE)) -t framewire-cpu .
	$(DOCKER_BUILD) -f docker/Dockerfile.client $(if $(BASE),--build-arg BASE=$(BASE)) \
	    -t framewire-client .

# make image-gpu TRITON=26.09: a version of NVIDIA's container, see docs/containers.md.
image-gpu:
	$(DOCKER_BUILD) -f docker/Dockerfile $(if $(TRITON),--build-arg TRITON=$(TRITON)) \
	    $(if $(BASE),--build-arg BASE=$(BASE)) -t framewire .

# The numbers in the Kubernetes manifests, made anew; a test fails when they are not what the demo
# pipeline needs. Then every overlay is built and held against the official schemas.
manifests: .venv/.test
	@set -e; scratch=$$(mktemp -d); trap 'rm -rf "$$scratch"' EXIT; \
	.venv/bin/framewire build samples/code_detector/codes.onnx --name codes \
	    --repository "$$scratch/gpu" --runtime tensorrt >/dev/null; \
	.venv/bin/framewire deploy --repository model_repository --print kubernetes \
	    >docker/kubernetes/overlays/cpu/resources.yaml; \
	.venv/bin/framewire deploy --repository "$$scratch/gpu" --print kubernetes \
	    >docker/kubernetes/overlays/gpu/resources.yaml
	@.venv/bin/python -m tests.docker.manifests

.venv/.test: $(PROJECTS)
	@.ci/make-environment test
	@touch .venv/.test .venv/.embedded

.venv/.embedded: $(PROJECTS)
	@.ci/make-environment embedded
	@touch $@

.venv/.bench: .venv/.embedded .ci/bring-perf-analyzer
	@.ci/bring-perf-analyzer
	@touch $@

clean:
	rm -rf .venv .venv-peers build src/build thin_client/build src/*.egg-info thin_client/*.egg-info \
	    .mypy_cache .pytest_cache .ruff_cache
