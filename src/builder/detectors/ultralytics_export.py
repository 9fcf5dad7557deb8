"""The process that exports: ``python -m builder.detectors.ultralytics_export SCRATCH OPTIONS``.

The only module that imports ultralytics, and with it torch. It works on a link in a scratch folder,
because ultralytics writes the ONNX file beside the checkpoint, and stays in the folder the user is
in, because ultralytics notes that one in its settings.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ultralytics import RTDETR, YOLO
from ultralytics.utils import SETTINGS, USER_CONFIG_DIR
from ultralytics.utils.downloads import GITHUB_ASSETS_NAMES, attempt_download_asset

from builder.detectors.export import RESULT_FILE, SUFFIX, failure
from builder.errors import ModelFileError


def main(arguments: Sequence[str]) -> None:
    """Export, as a process of its own: a scratch folder and the options as JSON."""
    work, options = Path(arguments[0]), json.loads(arguments[1])
    try:
        result = {"onnx": _export(work, **options)}
    except ModelFileError as refusal:
        result = {"error": str(refusal)}
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever torch and ultralytics raise
        result = failure(Path(options["model"]).name, _reason(error))
    (work / RESULT_FILE).write_text(json.dumps(result))


def _export(
    work: Path, *, model: str, size: list[int] | None, opset: int | None, end2end: bool
) -> str:
    name = Path(model).name
    checkpoint = Path(model) if Path(model).is_file() else _pretrained(name)
    # A name of ours: ultralytics takes yolov5s.pt, whatever it holds, for its own yolov5su.pt.
    link = work / f"checkpoint{SUFFIX}"
    link.symlink_to(checkpoint)
    detector = _load(YOLO, name, link)
    if detector.task != "detect":
        raise ModelFileError(
            f"{name} is a model for the task {detector.task!r}; Framewire serves detectors: give "
            "one trained with task 'detect'"
        )
    if type(detector.model.model[-1]).__name__ == "RTDETRDecoder":
        detector = RTDETR(str(link))
    options: dict[str, Any] = {"opset": opset}
    if end2end:
        # From ultralytics 8.4 on, the way to ask for the head that needs no NMS.
        options["nms"] = False
    if size is not None:
        width, height = size
        _check_size(name, width, height, int(max(detector.model.stride)))
        options["imgsz"] = (height, width)
    return str(detector.export(format="onnx", dynamic=True, device="cpu", **options))


def _check_size(name: str, width: int, height: int, stride: int) -> None:
    # Ultralytics would round it up and go on.
    if width % stride or height % stride or min(width, height) < stride:
        raise ModelFileError(
            f"{name} cannot take images of {width}x{height}; both must be multiples of its stride "
            f"{stride}: choose another --size"
        )


def _load(load: Callable[[str], Any], name: str, link: Path) -> Any:
    try:
        return load(str(link))
    except (Exception, SystemExit) as error:
        why = _reason(error).replace(str(link), name)
        raise ModelFileError(
            f"{name} is no checkpoint that ultralytics can load ({why}): give one that ultralytics "
            "trained, or the .onnx file that the project it comes from exports"
        ) from error


def _pretrained(name: str) -> Path:
    if name not in GITHUB_ASSETS_NAMES:
        raise ModelFileError(
            f"there is no model file {name}, and ultralytics offers none of that name: check the "
            "path, or name one such as yolo11n.pt"
        )
    # A relative folder of weights would be one in whatever folder the user happens to be in.
    kept = Path(USER_CONFIG_DIR, SETTINGS["weights_dir"], name)
    if not kept.is_file():
        try:
            attempt_download_asset(kept)
        except Exception as error:
            raise ModelFileError(
                f"{name} is not here and could not be downloaded: connect to the internet, or "
                "bring it and give its path"
            ) from error
    return kept


def _reason(error: BaseException) -> str:
    """Return the first sentence of what went wrong first, without ornaments."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = str(error).encode("ascii", "ignore").decode().strip().splitlines()
    return lines[0].split(". ")[0].strip() if lines else type(error).__name__


if __name__ == "__main__":
    main(sys.argv[1:])
