"""A client that does the work itself: it decodes, sends FP32 tensors and reads the head.

    python benchmarks/loops/client_side.py --url 127.0.0.1:8001 --images FOLDER --workers 8

The server of ``usual_recipe`` runs the network only; the code of its other steps runs here, in as
many threads as requests are to be in flight. Prints JSON: ``images_per_s``, ``cpu_ms`` of an image,
in this process only, and ``p50_ms``. ``--answers FILE`` gets what was found in each image: rows of
x1, y1, x2, y2, score and class.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import types
from pathlib import Path
from typing import Any

import tritonclient.grpc as triton

from closed_loop import run_closed_loop

RECIPE = Path(__file__).parent.parent / "usual_recipe"
MODEL = "usual_network"


def step(name: str) -> Any:
    """Import a step of the recipe; what Triton gives it there, it does not need here."""
    sys.modules.setdefault("triton_python_backend_utils", types.ModuleType("stand_in"))
    spec = importlib.util.spec_from_file_location(name, RECIPE / f"usual_{name}" / "1" / "model.py")
    if spec is None or spec.loader is None:
        raise ImportError(name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main() -> None:
    """Print the result as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--size", type=int, default=640, help="of the network's square input")
    parser.add_argument("--answers", type=Path)
    arguments = parser.parse_args()
    images = [file.read_bytes() for file in sorted(arguments.images.iterdir())]
    decoding, selecting = step("preprocess"), step("postprocess")
    decoding.SIZE = arguments.size
    client = triton.InferenceServerClient(arguments.url)

    def detect(image: bytes) -> list[list[float]]:
        tensor, geometry = decoding.preprocess(image)
        sent = triton.InferInput("images", [1, *tensor.shape], "FP32")
        sent.set_data_from_numpy(tensor[None])
        raw = client.infer(MODEL, [sent]).as_numpy("output0")[0]
        return [
            [*box, score, float(label)]
            for box, score, label in selecting.postprocess(raw, geometry)
        ]

    result = run_closed_loop(
        detect, images, arguments.workers, arguments.seconds, arguments.answers
    )
    client.close()
    print(json.dumps(result))


if __name__ == "__main__":
    main()
