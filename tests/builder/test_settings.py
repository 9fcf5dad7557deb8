from __future__ import annotations

import pytest

from builder.errors import SettingsError
from builder.settings import BuildSettings, NmsDefaults


@pytest.mark.parametrize("name", ["codes", "yolo11n-640", "A_1", "x" * 64])
def test_good_names_are_taken(name: str) -> None:
    assert BuildSettings(name).name == name


@pytest.mark.parametrize(
    "name",
    ["", "1st", "a b", "../up", "a/b", "ümlaut", "x" * 65, ".hidden", "codes_bls", "a_stream"],
)
def test_bad_names_are_refused(name: str) -> None:
    with pytest.raises(SettingsError, match="--name"):
        BuildSettings(name)


@pytest.mark.parametrize(
    ("option", "values"),
    [
        ("--conf", {"conf": 1.5}),
        ("--conf", {"conf": -0.1}),
        ("--iou", {"iou": float("nan")}),
        ("--max-batch", {"max_batch": 0}),
        ("--candidates", {"candidates": 3841}),
        ("--max-detections", {"max_det": 0}),
        ("--max-detections", {"max_det": 301, "candidates": 300}),
        ("--max-image-bytes", {"max_image_bytes": 0}),
        ("--max-image-pixels", {"max_image_pixels": 2**31}),
        ("--max-streams", {"max_streams": 0}),
        ("--max-streams", {"max_streams": 3, "instances": 4, "stream": True}),
        ("--max-stream-pixels", {"max_stream_pixels": 0}),
        ("--max-packet-bytes", {"max_packet_bytes": 0}),
        ("--max-stream-memory", {"max_stream_memory": 0}),
        ("--stream-idle", {"stream_idle_s": 0.5}),
    ],
)
def test_values_out_of_range_are_refused_by_their_option(
    option: str, values: dict[str, float]
) -> None:
    with pytest.raises(SettingsError, match=option):
        BuildSettings("codes", **values)


def test_fewer_candidates_than_the_default_of_detections_lower_it() -> None:
    assert BuildSettings("codes", candidates=50).with_defaults(NmsDefaults()).max_det == 50
    own = NmsDefaults(max_det=20)
    assert BuildSettings("codes", candidates=50).with_defaults(own).max_det == 20
