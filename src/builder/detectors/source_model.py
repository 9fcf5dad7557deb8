"""From what a user names to an ONNX file: a checkpoint is exported first."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from builder.detectors.export import export_to_onnx
from builder.detectors.heads import Head

CHECKPOINT_SUFFIX = ".pt"


@contextmanager
def onnx_of(
    model: str, size: tuple[int, int] | None = None, head: Head | None = None
) -> Iterator[Path]:
    """Give the ONNX file of a model while the context lasts.

    Args:
        model: an ONNX file, or a checkpoint that ultralytics knows or finds.
        size: width and height to export a checkpoint for.
        head: that is wanted of a checkpoint which has two.

    Raises:
        ModelFileError: the checkpoint cannot be exported.
    """
    if Path(model).suffix.lower() != CHECKPOINT_SUFFIX:
        yield Path(model)
        return
    with tempfile.TemporaryDirectory(prefix="framewire-export-") as folder:
        end2end = head is Head.END2END
        yield export_to_onnx(model, Path(folder), size=size, end2end=end2end)
