"""What the metadata of an ONNX file say: text that exporters write in one of three notations.

Ultralytics writes Python literals (``{0: 'cat'}``), others write JSON (``{"0": "cat"}``) or YAML.
Nothing of it is evaluated.
"""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Mapping
from typing import Any

import yaml

# Longer metadata hold no class names, and parsers of nested text need time.
LONGEST_TEXT = 2**18
LARGEST_STRIDE = 256
INDEX = re.compile(r"\s*[0-9]{1,6}\s*")


def parsed(text: str) -> Any:
    """Return what a text says as a Python literal, as JSON or as YAML, the first that it is.

    Of YAML every scalar stays the text it is: ``no``, ``on`` and ``10`` are names of classes too.

    Returns:
        None where it is none of them.
    """
    if len(text) > LONGEST_TEXT:
        return None
    for parse in (ast.literal_eval, json.loads, _yaml):
        try:
            return parse(text)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError, yaml.YAMLError):
            continue
    return None


def class_names(metadata: Mapping[str, str]) -> tuple[str, ...] | None:
    """Return the names of the classes in class order: of a list, or of a mapping from 0, 1, 2, ...

    Returns:
        None where there are none, or where they cannot be read.
    """
    names = parsed(metadata.get("names", ""))
    if isinstance(names, (list, tuple)):
        names = dict(enumerate(names))
    if not isinstance(names, dict):
        return None
    by_class = {_index(key): name for key, name in names.items()}
    if not names or len(by_class) != len(names) or set(by_class) != set(range(len(names))):
        return None
    if not all(isinstance(name, (str, int, float)) for name in by_class.values()):
        return None
    return tuple(one_line(str(by_class[index])) for index in range(len(by_class)))


def stride(metadata: Mapping[str, str], default: int) -> int:
    """Return the number that both sides of the input are multiples of; of several the largest."""
    value = parsed(metadata.get("stride", ""))
    sizes = [_whole(each) for each in (value if isinstance(value, (list, tuple)) else [value])]
    largest = max((size for size in sizes if size is not None), default=0)
    return largest if 0 < largest <= LARGEST_STRIDE else default


def image_size(metadata: Mapping[str, str], default: int) -> tuple[int, int]:
    """Return width and height of the input, in pixels; ``imgsz`` has the height first."""
    value = parsed(metadata.get("imgsz", ""))
    sides = value if isinstance(value, (list, tuple)) else [value]
    sizes = [size for size in map(_whole, sides) if size is not None]
    if len(sizes) != len(sides) or len(sizes) not in {1, 2}:
        return default, default
    return sizes[-1], sizes[0]


def export_batch(metadata: Mapping[str, str]) -> int | None:
    """Return the batch that an export with ultralytics' own NMS was made for, else None.

    Such a graph suppresses the overlaps of so many images one by one; where its batch is open, it
    does nothing for further ones.
    """
    if not has_own_nms(metadata):
        return None
    batch = _whole(parsed(metadata.get("batch", "")))
    if batch is None:
        batch = _whole(_arguments(metadata).get("batch"))
    return batch if batch is not None and batch > 0 else 1


def has_own_nms(metadata: Mapping[str, str]) -> bool:
    """Return whether ultralytics was told to put NMS into the graph: ``nms=True``."""
    return str(_arguments(metadata).get("nms")) in {"True", "true"}


def gives_rows(metadata: Mapping[str, str]) -> bool:
    """Return whether the graph is said to give finished rows: ``nms=True`` or a head without."""
    return has_own_nms(metadata) or metadata.get("end2end", "").strip().lower() == "true"


def one_line(label: str) -> str:
    """Return a class name that fits a line of labels.txt and a protobuf string."""
    # Protobuf takes no half of a surrogate pair.
    encodable = label.encode(errors="replace").decode()
    return " ".join(encodable.split()) or "unnamed"


def _arguments(metadata: Mapping[str, str]) -> dict[Any, Any]:
    arguments = parsed(metadata.get("args", ""))
    return arguments if isinstance(arguments, dict) else {}


def _yaml(text: str) -> Any:
    return yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506 - builds nothing but text


def _index(key: Any) -> int | None:
    # Keys of JSON are text. True would be 1.
    if isinstance(key, str) and INDEX.fullmatch(key):
        return int(key)
    return key if type(key) is int else None


def _whole(value: Any) -> int | None:
    if isinstance(value, str):
        value = parsed(value) if value.strip() and not value.strip().isalpha() else None
        if isinstance(value, str):
            return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return int(value) if value == int(value) else None
