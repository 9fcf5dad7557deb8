"""Ultralytics' ``predict`` behind LitServe, as the documentation of both writes it.

    python benchmarks/peers/litserve_predict.py --model build/peers/codes.pt --port 9000 \
        --workers 2 --batch 1 --batch-timeout-s 0

``POST /predict`` takes a form with the file ``image`` and answers with JSON: ``boxes``, rows of x1,
y1, x2, y2, score and class. Pictures are letterboxed to the rectangle that is ``predict``'s default
(``--square``: not, for a network of one size). It listens on the loopback, and ends with all of its
processes when its standard input does. Needs ultralytics, litserve and python-multipart.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

# It neither installs nor downloads anything here, and tells nobody about models.
os.environ.update(YOLO_OFFLINE="true", YOLO_AUTOINSTALL="false", ORT_DISABLE_TELEMETRY="1")

import cv2
import litserve
import numpy as np
import torch
from numpy.typing import NDArray
from ultralytics import YOLO

from end_with_stdin import end_with_stdin

LOOPBACK = "127.0.0.1"


class Detector(litserve.LitAPI):
    """What LitServe asks for.

    Args:
        model: the detector's file.
        threads: of each worker.
        rectangle: whether pictures are letterboxed to the smallest rectangle.
        options: as of ``LitAPI``.
    """

    def __init__(self, model: Path, threads: int, rectangle: bool, **options: Any) -> None:
        super().__init__(**options)
        self.model_file, self.threads, self.rectangle = model, threads, rectangle

    def setup(self, device: str) -> None:
        """Load the detector and warm it up, in each worker."""
        torch.set_num_threads(self.threads)
        self.device_name = device
        self.detector = YOLO(self.model_file, task="detect")
        self._results(np.zeros((1080, 1920, 3), np.uint8))

    # LitServe reads the annotations of this one and of encode_response; without any it takes forms.
    def decode_request(self, request):  # type: ignore[no-untyped-def]
        """Decode the file of a form to uint8 ``[height, width, 3]``, BGR."""
        encoded = np.frombuffer(request["image"].file.read(), np.uint8)
        picture = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
        if picture is None:
            raise ValueError("this is no image")
        return picture

    def batch(self, inputs: list[NDArray[np.uint8]]) -> list[NDArray[np.uint8]]:
        """Leave the pictures as they are: ``predict`` takes a list."""
        return list(inputs)

    def predict(self, x: Any) -> Any:
        """Detect in a picture, or in each of a batch."""
        results = self._results(x)
        return results if isinstance(x, list) else results[0]

    def unbatch(self, output: Any) -> Any:
        """Leave the results as they are: a list."""
        return output

    def encode_response(self, output):  # type: ignore[no-untyped-def]
        """Turn a result into JSON."""
        return {"boxes": output.boxes.data.tolist()}

    def _results(self, pictures: Any) -> list[Any]:
        return self.detector.predict(
            pictures, rect=self.rectangle, verbose=False, device=self.device_name
        )


def main() -> None:
    """Serve."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--workers", type=int, required=True)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--batch-timeout-s", type=float, required=True)
    parser.add_argument("--square", action="store_true")
    arguments = parser.parse_args()
    end_with_stdin()
    cores = len(os.sched_getaffinity(0))
    detector = Detector(
        arguments.model,
        max(1, cores // arguments.workers),
        not arguments.square,
        max_batch_size=arguments.batch,
        batch_timeout=arguments.batch_timeout_s,
    )
    server = litserve.LitServer(
        detector, accelerator="cpu", workers_per_device=arguments.workers, timeout=False
    )
    server.run(host=LOOPBACK, port=arguments.port, log_level="warning", generate_client_file=False)


if __name__ == "__main__":
    main()
