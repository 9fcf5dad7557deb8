"""What a message may look like."""

from __future__ import annotations

import json

import pytest

from builder.gateway.frames import (
    MAX_HEADER_BYTES,
    ProtocolMisuse,
    parameters_from_query,
    read_frame,
)
from thin_client.errors import InvalidRequestParameter

JPEG = b"\xff\xd8\xff\xe0 and so on \n { }"


def test_an_image_alone_is_named_by_its_position() -> None:
    frame = read_frame(JPEG, 7)
    assert (frame.frame_id, frame.image, frame.parameters) == (7, JPEG, {})


def test_a_header_names_the_frame_and_its_parameters() -> None:
    header = {"id": "a-1", "conf": 0.4, "classes": ["red", 2], "max_det": 3, "timestamp": 40_000}
    frame = read_frame(json.dumps(header).encode() + b"\n" + JPEG, 7)
    assert frame.frame_id == "a-1"
    assert frame.image == JPEG
    assert frame.parameters == {"conf": 0.4, "classes": ["red", 2], "max_det": 3}
    assert frame.timestamp_us == 40_000
    assert frame.refusal is None


@pytest.mark.parametrize(
    "header",
    [
        b'{"id": 1',
        b'{"id": NaN}',
        b'{"id": 1.5}',
        b'{"id": true}',
        b'{"id": null}',
        b'{"id": 9007199254740992}',
        b'{"id": "' + b"x" * 65 + b'"}',
        b"{" * 3000,
        b"{\xff\xfe}",
    ],
)
def test_what_begins_like_a_header_and_is_none_is_misuse(header: bytes) -> None:
    with pytest.raises(ProtocolMisuse) as misuse:
        read_frame(header + b"\n" + JPEG, 0)
    assert misuse.value.code == 1007
    # A close frame has room for no more (RFC 6455, 5.5).
    assert len(str(misuse.value).encode()) <= 123


def test_a_header_has_an_end_and_a_longest_length() -> None:
    padded = b'{"id": 1' + b" " * (MAX_HEADER_BYTES - 9) + b"}"
    assert len(padded) == MAX_HEADER_BYTES
    assert read_frame(padded + b"\n" + JPEG, 0).image == JPEG
    for message in (padded + b" \n" + JPEG, b'{"id": 1}'):
        with pytest.raises(ProtocolMisuse, match="one line of JSON"):
            read_frame(message, 0)


@pytest.mark.parametrize(
    ("header", "named"),
    [
        ({"confidence": 0.4}, "confidence"),
        ({"conf": "0.4"}, "conf"),
        ({"conf": True}, "conf"),
        ({"iou": 10**400}, "iou"),
        ({"max_det": 1.5}, "max_det"),
        ({"max_det": 2**31}, "max_det"),
        ({"classes": "red"}, "classes"),
        ({"classes": [1.5]}, "classes"),
        ({"classes": [10**30]}, "classes"),
        ({"class_agnostic": 1}, "class_agnostic"),
        ({"damaged": True}, "damaged"),
        ({"damaged": "perhaps"}, "damaged"),
        ({"timestamp": -1}, "timestamp"),
        ({"timestamp": "now"}, "timestamp"),
    ],
)
def test_a_parameter_that_cannot_be_used_is_this_frames_trouble(
    header: dict[str, object], named: str
) -> None:
    frame = read_frame(json.dumps({"id": 5, **header}).encode() + b"\n" + JPEG, 0)
    assert frame.frame_id == 5
    assert isinstance(frame.refusal, InvalidRequestParameter)
    assert named in str(frame.refusal)


def test_parameters_of_a_query() -> None:
    query = {"conf": "0.4", "max_det": "7", "classes": "red,2", "class_agnostic": "true"}
    assert parameters_from_query({**query, "damaged": "accept"}) == {
        "damaged": "accept",
        "conf": 0.4,
        "max_det": 7,
        "classes": ["red", "2"],
        "class_agnostic": True,
    }
    for name, text in (
        ("conf", "high"),
        ("conf", "nan"),
        ("class_agnostic", "1"),
        ("size", "3"),
        ("damaged", "1"),
    ):
        with pytest.raises(InvalidRequestParameter, match=name):
            parameters_from_query({name: text})
