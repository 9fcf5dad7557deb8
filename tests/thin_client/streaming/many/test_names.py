"""How sources are written, and what they are called."""

from __future__ import annotations

import pytest

from thin_client.errors import SourceUnreadable
from thin_client.streaming.many.names import NamedSource, named_source, sources_in


@pytest.mark.parametrize(
    ("text", "name", "address"),
    [
        ("gate=rtsp://user:secret@a/live", "gate", "rtsp://user:secret@a/live"),
        ("rtsp://user:secret@a/live", "rtsp://***@a/live", "rtsp://user:secret@a/live"),
        ("rtsp://a/live?channel=1", "rtsp://a/live?channel=1", "rtsp://a/live?channel=1"),
        ("  0 ", "0", "0"),
        ("./a=b.mp4", "./a=b.mp4", "./a=b.mp4"),
        ("hall-2 = clip one.mp4", "hall-2 ", None),
    ],
)
def test_a_source_has_the_name_that_it_was_given_or_its_address(
    text: str, name: str, address: str | None
) -> None:
    if address is None:
        assert named_source(text).address == text  # no name ends in a space
    else:
        assert named_source(text) == NamedSource(name, address)


def test_no_password_is_shown() -> None:
    assert "secret" not in repr(named_source("gate=rtsp://user:secret@a/live"))


def test_a_list_has_a_source_a_line() -> None:
    lines = ["# the yard", "", "gate=rtsp://a/1", "rtsp://a/2", "rtsp://a/2"]
    assert [source.name for source in sources_in(lines)] == ["gate", "rtsp://a/2"]


def test_addresses_that_look_the_same_are_told_apart() -> None:
    found = sources_in(["rtsp://u:one@a/live", "rtsp://u:two@a/live"])
    assert [source.name for source in found] == ["rtsp://***@a/live", "rtsp://***@a/live (2)"]


def test_one_name_for_two_sources_is_refused() -> None:
    with pytest.raises(SourceUnreadable, match="two sources are called gate"):
        sources_in(["gate=rtsp://a/1", "gate=rtsp://a/2"])


def test_nothing_is_no_source() -> None:
    with pytest.raises(SourceUnreadable, match="empty"):
        named_source("  ")
