from __future__ import annotations

import json

import pytest

from nms import Thresholds
from request_thresholds import (
    BadParameterError,
    ThresholdDefaults,
    default_thresholds,
    thresholds_of_request,
)

DEFAULTS = ThresholdDefaults(Thresholds(0.25, 0.7, 300), num_classes=4)


def read(**parameters: object) -> Thresholds:
    return thresholds_of_request(json.dumps(parameters), DEFAULTS)


@pytest.mark.parametrize("text", ["", "{}", '{"somebody_elses": 3}'])
def test_a_request_that_names_nothing_gets_the_defaults(text: str) -> None:
    assert thresholds_of_request(text, DEFAULTS) == DEFAULTS.thresholds


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("conf", 0.5, 0.5),
        ("conf", "0.5", 0.5),
        ("conf", 0, 0.0),
        ("conf", "1", 1.0),
        ("iou", " 0.45 ", 0.45),
        ("max_det", 10, 10),
        ("max_det", "10", 10),
        ("max_det", 10.0, 10),
        ("classes", "0,2", (0, 2)),
        ("classes", " 3 , 1 ", (3, 1)),
        ("classes", 2, (2,)),
        ("class_agnostic", True, True),
        ("class_agnostic", "true", True),
        ("class_agnostic", "False", False),
        ("class_agnostic", 1, True),
        ("class_agnostic", 0, False),
    ],
)
def test_numbers_and_their_text_are_taken(name: str, value: object, expected: object) -> None:
    assert getattr(read(**{name: value}), name) == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("conf", -0.1),
        ("conf", 1.1),
        ("conf", "high"),
        ("conf", "nan"),
        ("conf", "inf"),
        ("conf", True),
        ("conf", ""),
        ("conf", None),
        ("conf", "0_1"),
        ("conf", "\u0660.\u0665"),
        ("iou", 2),
        ("iou", "-1"),
        ("max_det", 0),
        ("max_det", 301),
        ("max_det", 1.5),
        ("max_det", "many"),
        ("classes", 4),
        ("classes", -1),
        ("classes", "0,4"),
        ("classes", "0,,1"),
        ("classes", ""),
        ("classes", "0.5"),
        ("classes", "person"),
        ("class_agnostic", "perhaps"),
        ("class_agnostic", 2),
    ],
)
def test_anything_else_is_refused_in_words(name: str, value: object) -> None:
    with pytest.raises(BadParameterError, match=rf"^parameter {name} must "):
        read(**{name: value})


def test_a_long_value_is_not_sent_back_whole() -> None:
    with pytest.raises(BadParameterError) as refusal:
        read(conf="x" * 10_000)
    assert len(str(refusal.value)) < 120


@pytest.mark.parametrize("nms", ["python", "graph", "none"])
def test_defaults_come_from_the_settings(nms: str) -> None:
    settings = {
        "conf": "0.4",
        "iou": "0.6",
        "max_det": "50",
        "class_agnostic": "true",
        "labels": '["a", "b"]',
        "nms": nms,
    }
    assert default_thresholds(settings) == ThresholdDefaults(
        Thresholds(0.4, 0.6, 50, None, class_agnostic=True, suppressed=nms != "python"),
        num_classes=2,
        nms=nms,
    )


@pytest.mark.parametrize("parameters", [{"iou": 0.5}, {"class_agnostic": True}])
def test_nms_that_runs_in_the_network_cannot_be_changed_by_a_request(
    parameters: dict[str, object],
) -> None:
    thresholds = Thresholds(0.25, 0.7, 300, suppressed=True)
    in_graph = ThresholdDefaults(thresholds, num_classes=3, nms="graph")
    with pytest.raises(BadParameterError, match=r"iou 0\.7.*--nms python"):
        thresholds_of_request(json.dumps(parameters), in_graph)
    same = json.dumps({"iou": 0.7, "class_agnostic": "false", "conf": 0.6})
    chosen = thresholds_of_request(same, in_graph)
    assert chosen == Thresholds(0.6, 0.7, 300, suppressed=True)
    # A head without NMS gives the same boxes whatever the overlap: nothing to refuse.
    without = ThresholdDefaults(thresholds, num_classes=3, nms="none")
    assert thresholds_of_request(json.dumps(parameters), without).suppressed


@pytest.mark.parametrize("name", ["conf", "iou", "max_det", "classes"])
@pytest.mark.parametrize("text", ["1" * 200_000 + "x", "0," * 200_000, "." * 200_000])
def test_a_text_without_end_is_refused_before_it_is_parsed(name: str, text: str) -> None:
    # A pattern that went back and forth over the digits took minutes for it.
    with pytest.raises(BadParameterError):
        thresholds_of_request(json.dumps({name: text}), DEFAULTS)
