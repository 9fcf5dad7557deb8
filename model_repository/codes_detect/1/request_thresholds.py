"""The thresholds of one request: the pipeline's defaults, overridden by request parameters."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from contract import REQUEST_PARAMETERS, PipelineParameter

from nms import Thresholds
from request_parameters import BadParameterError, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

NUMBER = re.compile(r"\s*[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?\s*", re.ASCII)
# No number is longer; who sends a megabyte of digits wants to see a parser suffer.
MAX_NUMBER_CHARACTERS = 64
# Of ``classes``, for each class that there is: its number, a comma and some room.
MAX_CHARACTERS_OF_CLASS = 16
MOST_WHOLE = 2**64
NMS_IN_PYTHON, NMS_IN_GRAPH = "python", "graph"
TRUE_WORDS = frozenset({"true", "1", "yes", "on"})
FALSE_WORDS = frozenset({"false", "0", "no", "off"})


@dataclass(frozen=True)
class ThresholdDefaults:
    """What holds when a request says nothing.

    Attributes:
        thresholds: the defaults; ``max_det`` is also the most a request may ask for, because the
            outputs have room for no more.
        num_classes: classes of the network.
        nms: who suppresses overlaps: the postprocess step ("python"), the network with these
            thresholds ("graph"), or nobody, because the network leaves none ("none").
    """

    thresholds: Thresholds
    num_classes: int
    nms: str = NMS_IN_PYTHON


def thresholds_of_request(parameters_json: str, defaults: ThresholdDefaults) -> Thresholds:
    """Read ``conf``, ``iou``, ``max_det``, ``classes`` and ``class_agnostic``.

    Args:
        parameters_json: ``InferenceRequest.parameters()``; parameters with other names are none of
            our business.
        defaults: for what the request does not name.

    Raises:
        BadParameterError: a value has the wrong type or is out of range.
    """
    parameters = _parse(parameters_json)
    default = defaults.thresholds
    if not parameters:
        return default
    if defaults.nms == NMS_IN_GRAPH:
        _refuse_other_nms(parameters, default)
    return Thresholds(
        conf=_fraction(parameters, "conf", default.conf),
        iou=_fraction(parameters, "iou", default.iou),
        max_det=_integer(parameters, "max_det", default.max_det, 1, default.max_det),
        classes=_classes(parameters, default.classes, defaults.num_classes),
        class_agnostic=_flag(parameters, "class_agnostic", default.class_agnostic),
        suppressed=default.suppressed,
    )


def _refuse_other_nms(parameters: Mapping[str, object], default: Thresholds) -> None:
    iou = _fraction(parameters, "iou", default.iou)
    agnostic = _flag(parameters, "class_agnostic", default.class_agnostic)
    if (iou, agnostic) != (default.iou, default.class_agnostic):
        raise BadParameterError(
            f"this pipeline's network suppresses overlaps itself, with iou {default.iou:g} and "
            f"class_agnostic {str(default.class_agnostic).lower()}: leave both out, or build the "
            "pipeline with --nms python"
        )


def _parse(parameters_json: str) -> dict[str, object]:
    if not parameters_json or parameters_json == "{}":
        return {}
    parameters = json.loads(parameters_json)
    return {name: parameters[name] for name in REQUEST_PARAMETERS if name in parameters}


def _number(name: str, value: object) -> float:
    if isinstance(value, str):
        # float() also reads underscores and digits of other scripts, which are likelier a mistake.
        short = len(value) <= MAX_NUMBER_CHARACTERS
        value = float(value) if short and NUMBER.fullmatch(value) else value
    # More than a float's is no number either, and math.isfinite would raise.
    if isinstance(value, int) and abs(value) >= MOST_WHOLE:
        value = math.inf
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return value
    raise BadParameterError(f"parameter {name} must be a number, got {shown(value)}")


def _fraction(parameters: Mapping[str, object], name: str, default: float) -> float:
    if name not in parameters:
        return default
    number = _number(name, parameters[name])
    if not 0 <= number <= 1:
        raise BadParameterError(f"parameter {name} must be between 0 and 1, got {number:g}")
    return number


def _integer(
    parameters: Mapping[str, object], name: str, default: int, lowest: int, highest: int
) -> int:
    if name not in parameters:
        return default
    number = _number(name, parameters[name])
    if number != int(number) or not lowest <= number <= highest:
        raise BadParameterError(
            f"parameter {name} must be a whole number from {lowest} to {highest}, got {number:g}"
        )
    return int(number)


def _classes(
    parameters: Mapping[str, object], default: tuple[int, ...] | None, num_classes: int
) -> tuple[int, ...] | None:
    if "classes" not in parameters:
        return default
    value = parameters["classes"]
    most = MAX_NUMBER_CHARACTERS + MAX_CHARACTERS_OF_CLASS * num_classes
    if isinstance(value, str) and len(value) > most:
        raise BadParameterError(
            f"parameter classes has {len(value)} characters where at most {most} are allowed"
        )
    texts = value.split(",") if isinstance(value, str) else [value]
    chosen = []
    for text in texts:
        number = _number("classes", text)
        if number != int(number) or not 0 <= number < num_classes:
            raise BadParameterError(
                f"parameter classes must hold class indices from 0 to {num_classes - 1} separated "
                f"by commas, got {shown(text)}"
            )
        chosen.append(int(number))
    return tuple(chosen)


def _flag(parameters: Mapping[str, object], name: str, default: bool) -> bool:
    if name not in parameters:
        return default
    value = parameters[name]
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word in TRUE_WORDS:
        return True
    if word in FALSE_WORDS:
        return False
    raise BadParameterError(f"parameter {name} must be true or false, got {shown(value)}")


def default_thresholds(settings: Mapping[str, str]) -> ThresholdDefaults:
    """Read the defaults from the settings of a version of a model."""
    return ThresholdDefaults(
        thresholds=Thresholds(
            conf=float(settings[PipelineParameter.CONF.value]),
            iou=float(settings[PipelineParameter.IOU.value]),
            max_det=int(settings[PipelineParameter.MAX_DET.value]),
            class_agnostic=settings[PipelineParameter.CLASS_AGNOSTIC.value] == "true",
            suppressed=settings["nms"] != NMS_IN_PYTHON,
        ),
        num_classes=len(json.loads(settings[PipelineParameter.LABELS.value])),
        nms=settings["nms"],
    )
