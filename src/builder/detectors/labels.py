"""Class names from a file: a list of lines, or the data.yaml a detector was trained with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from builder.detectors.metadata import one_line
from builder.errors import LabelsError

# Of files that hold more than names, and name them ``names``: ultralytics' data.yaml.
DATA_SUFFIXES = (".yaml", ".yml", ".json")


def read_labels(path: Path) -> tuple[str, ...]:
    """Read class names, in class order.

    1. ``.yaml``, ``.yml``, ``.json``: a list of names, or their mapping from 0, 1, 2, ...; either
       the whole file or what stands in it under ``names``, as in ultralytics' data.yaml.
    2. Any other file: one name to a line.

    Raises:
        LabelsError: there is no such file, no name in it, or a class without a name.
    """
    if path.exists() and not path.is_file():
        raise LabelsError(f"{path} is no file of class names: check --labels")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise LabelsError(
            f"{path} cannot be read as class names ({why}): check --labels"
        ) from error
    names = _of_data(path, text) if path.suffix.lower() in DATA_SUFFIXES else _of_lines(path, text)
    if not names:
        raise LabelsError(f"{path} holds no class names: write one to a line, in class order")
    return tuple(one_line(name) for name in names)


def _of_lines(path: Path, text: str) -> list[str]:
    lines = [line.strip() for line in text.rstrip().splitlines()]
    if "" in lines:
        raise LabelsError(
            f"line {lines.index('') + 1} of {path} is empty and names follow it: write one name "
            "to a line, in class order"
        )
    return lines


def _of_data(path: Path, text: str) -> list[str]:
    try:
        data = json.loads(text) if path.suffix.lower() == ".json" else _strings(text)
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise LabelsError(
            f"{path} is no valid {path.suffix[1:]} ({str(error).splitlines()[0]}): mend it, or "
            "write the class names into a .txt file, one to a line"
        ) from error
    names = data.get("names", data) if isinstance(data, dict) else data
    if isinstance(names, dict):
        by_class = {str(index): name for index, name in names.items()}
        names = [by_class.get(str(index)) for index in range(len(by_class))]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise LabelsError(
            f"{path} has no usable `names`: expected a list of them, or a mapping from 0, 1, 2, ..."
        )
    return names


def _strings(text: str) -> Any:
    # Every scalar stays the text it is: `no`, `on` and `10` are names of classes too.
    return yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506 - builds nothing but text
