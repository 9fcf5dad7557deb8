"""A checkpoint of ultralytics to ONNX; the only module that imports ultralytics and torch.

The export runs in a process of its own: ultralytics prints, changes settings of the whole process
and keeps gigabytes. It works on a link in a folder of ours, because it writes the ONNX file beside
the checkpoint, and keeps the folder the user is in, because it notes that one in its settings.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from builder.errors import ModelFileError

SUFFIX = ".pt"
RESULT_FILE = "result.json"
EXTRA = "pip install 'framewire[export]'"
# No package is installed behind the user's back, and nothing but errors is printed.
ENVIRONMENT = {"YOLO_AUTOINSTALL": "false", "YOLO_VERBOSE": "false"}


def export_to_onnx(
    model: str, folder: Path, *, size: tuple[int, int] | None = None, opset: int | None = None
) -> Path:
    """Turn an ultralytics detector into an ONNX file whose batch is open.

    Loading a checkpoint runs code that it carries: export only what you trust.

    Args:
        model: a ``.pt`` file, or the name of one that ultralytics offers, such as ``yolo11n.pt``;
            that one is downloaded to where ultralytics keeps weights, unless it is there.
        folder: where the ONNX file goes; nothing else is written to it.
        size: width and height of the input in pixels; what the detector was trained with when None.
        opset: of ONNX; the newest that torch writes when None.

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
        options = {"model": str(checkpoint), "size": size, "opset": opset}
        exported = Path(_run_exporter(checkpoint.name, work, options))
        target = folder / f"{checkpoint.stem}.onnx"
        folder.mkdir(parents=True, exist_ok=True)
        target.write_bytes(exported.read_bytes())
    return target


def _checkpoint(model: str) -> Path:
    path = Path(model)
    try:
        if path.is_file():
            return path.resolve()
    except (OSError, ValueError):
        pass
    # Only a bare name can be one that ultralytics offers.
    if path.parent != Path() or path.suffix != SUFFIX:
        raise ModelFileError(f"there is no model file {model}: check the path")
    return path


def _run_exporter(name: str, work: Path, options: Mapping[str, Any]) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "builder.export", str(work), json.dumps(options)],
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
        last = lines[-1].strip() if lines else f"it ended with {done.returncode} and said nothing"
        result = {"error": f"ultralytics could not export {name} ({last}): export it with `yolo "
                           "export`, which says more, and give the .onnx file"}
    if "error" in result:
        raise ModelFileError(result["error"])
    return str(result["onnx"])


def main(arguments: Sequence[str]) -> None:
    """Export, as a process of its own: a scratch folder and the options as JSON."""
    work, options = Path(arguments[0]), json.loads(arguments[1])
    name = Path(options["model"]).name
    try:
        onnx_file = _export(name, work, **options)
        result = {"onnx": onnx_file}
    except ModelFileError as refusal:
        result = {"error": str(refusal)}
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever torch or ultralytics raise
        result = {
            "error": f"ultralytics could not export {name} ({_last_line(error)}): check --size and "
            "the checkpoint, or export it with `yolo export`, which says more"
        }
    (work / RESULT_FILE).write_text(json.dumps(result))


def _export(
    name: str, work: Path, *, model: str, size: tuple[int, int] | None, opset: int | None
) -> str:
    from ultralytics import RTDETR, YOLO

    checkpoint = Path(model) if Path(model).is_file() else _pretrained(name)
    link = work / name
    link.symlink_to(checkpoint.resolve())
    detector = _load(YOLO, name, link)
    if detector.task != "detect":
        raise ModelFileError(
            f"{name} is a model for the task {detector.task!r}; Framewire serves detectors: give "
            "one trained with task 'detect'"
        )
    if type(detector.model.model[-1]).__name__ == "RTDETRDecoder":
        detector = RTDETR(str(link))
    options: dict[str, Any] = {"opset": opset}
    if size is not None:
        width, height = size
        options["imgsz"] = (height, width)
    return str(detector.export(format="onnx", dynamic=True, device="cpu", **options))


def _load(load: Any, name: str, link: Path) -> Any:
    try:
        return load(str(link))
    except (Exception, SystemExit) as error:
        raise ModelFileError(
            f"{name} is no checkpoint that ultralytics can load ({_last_line(error)}): give one "
            "that ultralytics trained, or the .onnx file that its own project exports"
        ) from error


def _pretrained(name: str) -> Path:
    from ultralytics.utils import SETTINGS, USER_CONFIG_DIR
    from ultralytics.utils.downloads import GITHUB_ASSETS_NAMES, attempt_download_asset

    if name not in GITHUB_ASSETS_NAMES:
        raise ModelFileError(
            f"there is no model file {name}, and ultralytics offers none of that name: check the "
            "path, or name one such as yolo11n.pt"
        )
    # A relative folder of weights would be one in whatever folder the user happens to be in.
    kept = Path(USER_CONFIG_DIR) / SETTINGS["weights_dir"] / name
    if kept.is_file():
        return kept
    kept.parent.mkdir(parents=True, exist_ok=True)
    try:
        attempt_download_asset(kept)
    except Exception as error:
        raise ModelFileError(
            f"{name} could not be downloaded ({_last_line(error)}): check the connection, or "
            "download it elsewhere and give its path"
        ) from error
    return kept


def _last_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[-1].strip() if lines else type(error).__name__


if __name__ == "__main__":
    main(sys.argv[1:])
