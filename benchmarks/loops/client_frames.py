"""A client that does the work itself as well as it can be done: with the pipeline's own code.

    python benchmarks/loops/client_frames.py --url 127.0.0.1:8001 --repository model_repository \
        --name codes --version 1 --images FOLDER --workers 8

It decodes and letterboxes as the pipeline does, sends uint8 frames to the pipeline's own network
step and selects detections from the candidates that come back, in as many threads as requests are
to be in flight. Prints JSON: ``images_per_s``, ``cpu_ms`` of an image, in this process only, and
``p50_ms``. ``--answers FILE`` gets what was found in each image: rows of x1, y1, x2, y2, score and
class.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import cv2
import tritonclient.grpc as triton

from closed_loop import run_closed_loop
from in_process import served_code


def main() -> None:
    """Print the result as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", required=True)
    parser.add_argument("--repository", type=Path, required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--version", type=int, required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--answers", type=Path)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    images = [file.read_bytes() for file in sorted(arguments.images.iterdir())]
    load, select = served_code(arguments.repository, arguments.name, arguments.version)
    client = triton.InferenceServerClient(arguments.url)

    def detect(image: bytes) -> list[list[float]]:
        frame, geometry = load(image)
        sent = triton.InferInput("frame", [1, *frame.shape], "UINT8")
        sent.set_data_from_numpy(frame[None])
        answer = client.infer(f"{arguments.name}_network", [sent])
        found = select(answer.as_numpy("candidates"), geometry)
        count = found["num_dets"][0, 0]
        return [
            [*map(float, box), float(score), float(label)]
            for box, score, label in zip(
                found["det_boxes"][0, :count],
                found["det_scores"][0, :count],
                found["det_classes"][0, :count],
                strict=True,
            )
        ]

    result = run_closed_loop(
        detect, images, arguments.workers, arguments.seconds, arguments.answers
    )
    client.close()
    print(json.dumps(result))


if __name__ == "__main__":
    main()
