"""From what a user names to an ONNX file: a checkpoint is exported first."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from builder.detectors.export import export_to_onnx
from builder.detectors.heads import Head
from builder.errors import ModelFileError

CHECKPOINT_SUFFIX = ".pt"
TRUST_OPTION = "--trust-pickle"


@contextmanager
def onnx_of(
    model: str,
    size: tuple[int, int] | None = None,
    head: Head | None = None,
    *,
    trust_pickle: bool = False,
) -> Iterator[Path]:
    """Give the ONNX file of a model while the context lasts.

    Args:
        model: an ONNX file, or a checkpoint that ultralytics knows or finds.
        size: width and height to export a checkpoint for.
        head: that is wanted of a checkpoint which has two.
        trust_pickle: whether to load a checkpoint at all: it is a pickle, and loading it runs
            whatever code it carries. torch's ``weights_only`` is no way out: ultralytics'
            checkpoints hold the network's own classes.

    Raises:
        ModelFileError: the checkpoint is not to be trusted, or cannot be exported.
    """
    if Path(model).suffix.lower() != CHECKPOINT_SUFFIX:
        yield Path(model)
        return
    if not trust_pickle:
        name = Path(model).name
        raise ModelFileError(
            f"{name} is a pickle, and loading it runs the code that it carries: add {TRUST_OPTION} "
            "if you trust whoever made it, or give the .onnx file that `yolo export` makes of it "
            "where it can do no harm"
        )
    with tempfile.TemporaryDirectory(prefix="framewire-export-") as folder:
        end2end = head is Head.END2END
        yield export_to_onnx(model, Path(folder), size=size, end2end=end2end)
