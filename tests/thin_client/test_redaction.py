"""What is shown of addresses."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thin_client import errors
from thin_client.redaction import shown_address, without_secrets

SECRET = "g3h-31m"  # noqa: S105


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        (f"rtsp://admin:{SECRET}@10.0.0.7:554/live", "rtsp://***@10.0.0.7:554/live"),
        (f"rtsp://{SECRET}@10.0.0.7/live", "rtsp://***@10.0.0.7/live"),
        (f"rtsp://admin:{SECRET}@[fe80::1]:554/", "rtsp://***@[fe80::1]:554/"),
        ("rtsp://10.0.0.7:554/Streaming/Channels/101", None),
        ("dns:///triton.default.svc:8001", None),
        # Passwords that nobody encoded.
        (f"rtsp://admin:a@{SECRET}@camera/live", "rtsp://***@camera/live"),
        (f"rtsp://admin:a/{SECRET}@camera/live", "rtsp://***@camera/live"),
        (f"rtsp://admin:a?{SECRET}@camera/live", "rtsp://***"),
        (f"rtsp://admin:a#{SECRET}@camera/live", "rtsp://***"),
        (f"rtsp://admin:{SECRET}==@camera/live", "rtsp://***@camera/live"),
        (f"rtsp://admin:a {SECRET}@camera/live", "rtsp://***@camera/live"),
        (f"rtsp://admin:a\n{SECRET}@camera/live", "rtsp://***@camera/live"),
        # The ways of cameras.
        (
            f"http://camera/video.cgi?user=admin&pwd={SECRET}&resolution=640x480",
            "http://camera/video.cgi?user=***&pwd=***&resolution=640x480",
        ),
        (
            f"http://camera/videostream.asf?loginuse=admin&loginpas={SECRET}",
            "http://camera/videostream.asf?loginuse=***&loginpas=***",
        ),
        (f"rtsp://camera/live?{SECRET}", "rtsp://camera/live?***"),
        (f"rtsp://camera/live?a=1;token={SECRET}", "rtsp://camera/live?a=***;token=***"),
        (f"rtsp://camera/live?token=a/{SECRET}", "rtsp://camera/live?token=***"),
        (f"rtsp://camera/live?token=a={SECRET}", "rtsp://camera/live?token=***"),
        (
            f"rtsp://camera/live?channel={SECRET}-{SECRET}-{SECRET}",
            "rtsp://camera/live?channel=***",
        ),
        (f"rtsp://camera/live?to=me@home&pwd={SECRET}", "rtsp://***"),
        (f"rtsp://camera/live?pwd=a@{SECRET}", "rtsp://***"),
        (f"rtsp://camera/user=admin_password=a@{SECRET}_channel=1", "rtsp://***"),
        (f"https://gateway/#token=a@{SECRET}", "https://***"),
        ("rtsp://camera/cam/realmonitor?channel=1&subtype=0", None),
        (
            f"rtsp://camera:554/user=admin_password={SECRET}_channel=1_stream=0.sdp?real_stream",
            "rtsp://camera:554/user=***?***",
        ),
        (
            f"rtsp://camera/user=admin&password={SECRET}&channel=1&stream=0.sdp",
            "rtsp://camera/user=***&password=***&channel=1&stream=0.sdp",
        ),
        (f"rtsp://camera/channel=1_password={SECRET}", "rtsp://camera/channel=***"),
        (f"https://gateway/#token={SECRET}", "https://gateway/#***"),
        (f"https://gateway/?a=1#{SECRET}", "https://gateway/?a=***#***"),
        # The last part of a path of RTMP is the key.
        (f"rtmp://ingest/live/{SECRET}", "rtmp://ingest/live/***"),
        (f"RTMPS://ingest:443/live/{SECRET}/", "RTMPS://ingest:443/live/***"),
        (f"rtmpt://ingest/{SECRET}", "rtmpt://ingest/***"),
        (f"rtmp://ingest/app/instance/{SECRET}", "rtmp://ingest/app/***"),
        (f"rtmp://ingest/live/{SECRET}?channel=1", "rtmp://ingest/live/***"),
        (f"rtmp://ingest/live?key={SECRET}", "rtmp://ingest/***"),
        (f"rtmp://a:{SECRET}@ingest/live/{SECRET}", "rtmp://***@ingest/live/***"),
        (f"rtmp://a:b/{SECRET}@ingest/live/{SECRET}", "rtmp://***"),
        (f"rtmp://ingest/live/a@{SECRET}", "rtmp://***"),
        (f"rtmp://ingest/live/{SECRET} live=1 token={SECRET}", "rtmp://ingest/live/***"),
        (f"async:rtmp://ingest/live/{SECRET}", "async:rtmp://ingest/live/***"),
        (f"concat:rtmp://ingest/{SECRET}|rtmp://other/live/{SECRET}", "concat:rtmp://ingest/***"),
        ("rtmp://ingest:1935", None),
        ("rtmp://ingest/", None),
        ("rtmp://ingest/live/***", None),
        # Of the scheme that the reader is to know.
        (f"//admin:{SECRET}@camera/live", "//***@camera/live"),
        (f"//{SECRET}@camera/live", "//***@camera/live"),
        (f"//admin:a/{SECRET}@camera:554/live", "//***@camera:554/live"),
        (f"//admin:a@camera/video?pwd={SECRET}", "//***@camera/video?pwd=***"),
        (f"//camera/video?pwd={SECRET}", "//camera/video?pwd=***"),
        ("//videos/gate@2.mp4", None),
        ("//videos/08:30 gate@2.mp4", None),
        # As pathlib has it.
        (f"rtsp:/admin:{SECRET}@camera/live", "rtsp:/***@camera/live"),
        ("C:/videos/gate@2.mp4", None),
        ("/videos/a:/b@c.mp4", None),
        # Without a scheme.
        (f"admin:{SECRET}@triton:8001", "***@triton:8001"),
        (f"async:http://admin:{SECRET}@camera/", "async:http://***@camera/"),
        (f"camera/video?user=admin&pwd={SECRET}", "camera/video?user=***&pwd=***"),
        (f"camera:80/video?user=admin&pwd=a@{SECRET}", "***"),
        (f"camera/video?user=admin&pwd=a@{SECRET}", "camera/video?user=***&pwd=***"),
        (f" rtsp://admin:{SECRET}@camera/live", " rtsp://***@camera/live"),
        ("localhost:8001", None),
        ("frames/*_00?.jpg", None),
        ("clip@home.mp4", None),
        ("/videos/2026-11-21T08:30 gate@2.mp4", None),
        ("C:\\videos\\gate@2.mp4", None),
        ("0", None),
        ("", None),
    ],
)
def test_an_address_is_shown_without_what_lets_somebody_in(address: str, shown: str | None) -> None:
    assert shown_address(address) == (address if shown is None else shown)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            f"[Errno 111] Connection refused: 'rtsp://admin:{SECRET}@camera/live'",
            "[Errno 111] Connection refused: 'rtsp://***@camera/live'",
        ),
        (
            f"from http://a:{SECRET}@b/?p={SECRET}, then (rtsp://c:{SECRET}@d).",
            "from http://***@b/?p=***, then (rtsp://***@d).",
        ),
        (f"rtsp://camera/live?pwd={SECRET}: it ended", "rtsp://camera/live?pwd=***: it ended"),
        (
            f"cannot open 'rtmp://ingest/live/{SECRET}': refused",
            "cannot open 'rtmp://ingest/live/***': refused",
        ),
        (f"cannot open '//admin:{SECRET}@camera/live': no", "cannot open '//***@camera/live': no"),
        ("// a remark: ask me@home", None),
        ("see https://docs.nvidia.com/triton for more, or ask at 12:30", None),
    ],
)
def test_addresses_in_a_text_are_found(text: str, shown: str | None) -> None:
    assert without_secrets(text) == (text if shown is None else shown)


# What people have in passwords, and what ends parts of addresses most of all.
PASSWORDS = st.text(st.sampled_from("aZ9_-.~!$'()*+,;:@/?#[]&=%\\\" \u00e9"), max_size=12)


@given(before=PASSWORDS, after=PASSWORDS)
def test_no_password_is_shown_whatever_is_in_it(before: str, after: str) -> None:
    password = f"{before}{SECRET}{after}"
    # In a query these end the value, for cameras too.
    value = re.sub("[&;]", "", password)
    for address in (
        f"rtsp://admin:{password}@camera:554/live",
        f"http://camera/video?user=admin&pwd={value}",
        f"http://camera/video?pwd={value}&user=admin",
        f"http://admin:a@camera/video?pwd={value}",
        f"//admin:{password}@camera:554/live",
        f"rtmp://ingest/live/{password}",
        f"rtmps://admin:{password}@ingest/live/{password}",
        f"https://gateway/#token={password}",
    ):
        assert SECRET not in shown_address(address)
        assert SECRET not in shown_address(f" {address}") or " " in password
        if " " not in password:
            assert SECRET not in without_secrets(f"cannot open '{address}': refused")


@pytest.mark.parametrize("name", errors.__all__)
def test_no_error_of_the_client_tells_a_password(name: str) -> None:
    error = getattr(errors, name)(f"cannot open rtsp://admin:{SECRET}@camera/live: refused")
    for text in (str(error), repr(error)):
        assert SECRET not in text
        assert "rtsp://***@camera/live: refused" in text
