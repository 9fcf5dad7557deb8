"""The input data files of perf_analyzer."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Sequence
from pathlib import Path

from thin_client.contract import IMAGE


def write_image_data(images: Sequence[bytes], data_file: Path, *, name: str = IMAGE.name) -> None:
    """Write encoded images for a BYTES input of shape [1]; perf_analyzer sends them in turn.

    Each is the base64 of what the KServe v2 protocol calls a BYTES element: its length in four
    little-endian bytes, then itself. perf_analyzer adds no length of its own.

    Args:
        images: one file each.
        data_file: to write.
        name: of the input.
    """
    elements = [struct.pack("<I", len(image)) + image for image in images]
    _write(elements, (1,), data_file, name)


def write_tensor_data(
    tensors: Sequence[bytes], shape: Sequence[int], data_file: Path, *, name: str
) -> None:
    """Write raw tensors, each of ``shape``, little-endian and in C order."""
    _write(tensors, shape, data_file, name)


def _write(contents: Sequence[bytes], shape: Sequence[int], data_file: Path, name: str) -> None:
    data = [
        {name: {"content": {"b64": base64.b64encode(content).decode()}, "shape": list(shape)}}
        for content in contents
    ]
    data_file.parent.mkdir(parents=True, exist_ok=True)
    data_file.write_text(json.dumps({"data": data}))
