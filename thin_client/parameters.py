"""What one request may ask for differently from the pipeline's defaults."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import TypedDict

from thin_client.contract import OPTIONAL_PARAMETERS, REQUEST_PARAMETERS
from thin_client.errors import InvalidRequestParameter

__all__ = ["RequestParameters", "WireParameters", "wire_parameters"]

WireParameters = dict[str, str | int | bool]


class RequestParameters(TypedDict, total=False):
    """Keyword arguments of every ``detect`` method; what is left out is the pipeline's default.

    Ranges are the server's to check: it refuses a value in words (InvalidRequestParameter).

    Keys:
        conf: lowest score that counts, 0 to 1.
        iou: boxes of one class that overlap more than this are one object, 0 to 1.
        max_det: most detections per image, at most the pipeline's own.
        classes: the only classes to report, as indices or labels.
        class_agnostic: let boxes of different classes suppress each other.
        damaged: "accept" to have what could be decoded of a damaged JPEG looked at, "refuse" not
            to; pipelines built before this was possible refuse.
    """

    conf: float | None
    iou: float | None
    max_det: int | None
    classes: Sequence[int | str] | None
    class_agnostic: bool | None
    damaged: str | None


def wire_parameters(
    labels: Sequence[str],
    *,
    conf: float | None = None,
    iou: float | None = None,
    max_det: int | None = None,
    classes: Sequence[int | str] | None = None,
    class_agnostic: bool | None = None,
    damaged: str | None = None,
) -> WireParameters:
    """Return the parameters as the server takes them.

    Raises:
        InvalidRequestParameter: ``classes`` is empty or names a label the pipeline does not have.
    """
    values = {
        # As text, because not every Triton release knows floating-point parameters.
        "conf": None if conf is None else repr(float(conf)),
        "iou": None if iou is None else repr(float(iou)),
        "max_det": None if max_det is None else int(max_det),
        "classes": None if classes is None else _class_list(classes, labels),
        "class_agnostic": None if class_agnostic is None else bool(class_agnostic),
        "damaged": None if damaged is None else str(damaged),
    }
    names = REQUEST_PARAMETERS + OPTIONAL_PARAMETERS
    return {name: value for name in names if (value := values[name]) is not None}


def _class_list(classes: Sequence[int | str], labels: Sequence[str]) -> str:
    names = [classes] if isinstance(classes, str) else classes
    if not len(names):
        raise InvalidRequestParameter("classes is empty; name a class, or leave it out for all")
    return ",".join(str(_class_index(name, labels)) for name in names)


def _class_index(name: int | str, labels: Sequence[str]) -> int:
    if not isinstance(name, str):
        return int(name)
    if name in labels:
        return labels.index(name)
    if name.isdecimal():
        return int(name)
    known = difflib.get_close_matches(name, labels, n=3) or labels[:10]
    shown = ", ".join(known) + (", ..." if len(known) < len(labels) else "")
    raise InvalidRequestParameter(f"this pipeline has no class {name!r}; it has {shown}")
