"""A checkpoint of ultralytics to ONNX.

The export is a process of its own, :mod:`builder.detectors.ultralytics_export`: ultralytics prints,
changes settings of the whole process and keeps its memory.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from builder.errors import ModelFileError

SUFFIX = ".pt"
RESULT_FILE = "result.json"
EXTRA = "pip install -e '.[export]'"
# No package is installed behind the user's back, and nothing but errors is printed.
ENVIRONMENT = {"YOLO_AUTOINSTALL": "false", "YOLO_VERBOSE": "false"}


def export_to_onnx(
    model: str,
    folder: Path,
    *,
    size: tuple[int, int] | None = None,
    opset: int | None = None,
    end2end: bool = False,
) -> Path:
    """Turn an ultralytics detector into an ONNX file whose batch is open.

    Loading a checkpoint runs code that it carries: export only what you trust.

    Args:
        model: a ``.pt`` file, or the name of one that ultralytics offers, such as ``yolo11n.pt``;
            that one is downloaded to where ultralytics keeps weights, unless it is there.
        folder: where the ONNX file goes; nothing else is written to it.
        size: width and height of the input in pixels; what the detector was trained with when None.
        opset: of ONNX; the newest that torch writes when None.
        end2end: whether a detector with two heads, YOLOv10 and YOLO26, gives the one that needs no
            NMS; ultralytics itself takes the other.

    Returns:
        The file: named as the checkpoint, with ``.onnx``.

    Raises:
        ModelFileError: there is no such checkpoint, it is damaged or no detector, ultralytics is
            not installed or could not export it.
    """
    checkpoint = _checkpoint(model)
    if importlib.util.find_spec("ultralytics") is None:
        raise ModelFileError(
            f"{checkpoint.name} is a checkpoint and ultralytics, which exports it, is not "
            f"installed: run `{EXTRA}`, or give an .onnx file"
        )
    with tempfile.TemporaryDirectory(prefix="framewire-export-") as scratch:
        work = Path(scratch)
        options = {
            "model": str(checkpoint),
            "size": size,
            "opset": opset,
            "end2end": end2end,
        }
        exported = Path(_run_exporter(checkpoint.name, work, options))
        target = folder / f"{checkpoint.stem}.onnx"
        folder.mkdir(parents=True, exist_ok=True)
        target.write_bytes(exported.read_bytes())
    return target


def _checkpoint(model: str) -> Path:
    path = Path(model)
    if path.suffix.lower() != SUFFIX:
        raise ModelFileError(
            f"{path.name} is neither an {SUFFIX} checkpoint nor an .onnx file: give one of the two"
        )
    try:
        if path.is_file():
            return path.resolve()
    except OSError:
        pass
    # Only a bare name can be one that ultralytics offers.
    if path.parent != Path():
        raise ModelFileError(f"there is no model file {model}: check the path")
    return path


def _run_exporter(name: str, work: Path, options: Mapping[str, Any]) -> str:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "builder.detectors.ultralytics_export",
            str(work),
            json.dumps(options),
        ],
        env={**os.environ, **ENVIRONMENT},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    try:
        result = json.loads((work / RESULT_FILE).read_text())
    except (OSError, ValueError):
        lines = f"{done.stdout}\n{done.stderr}".strip().splitlines()
        result = failure(name, lines[-1] if lines else f"it ended with {done.returncode}")
    if "error" in result:
        raise ModelFileError(result["error"])
    return str(result["onnx"])


def failure(name: str, why: str) -> dict[str, str]:
    """Return what the process leaves in its result file when ultralytics gave up."""
    return {
        "error": f"ultralytics could not export {name} ({why}): run `yolo export` on it, which "
        "says more, and give the .onnx file"
    }
