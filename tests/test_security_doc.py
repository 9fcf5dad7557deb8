"""What SECURITY.md says is on by default is on."""

from __future__ import annotations

import re

from builder.gateway.settings import Limits
from builder.gateway.silence import REQUEST_PATIENCE_S
from builder.serving.known_holes import HOLES, mended_in
from builder.serving.server_options import LOOPBACK, ServerOptions
from builder.settings import BuildSettings
from tests.conftest import ROOT
from thin_client.retry import RetryPolicy

DOCUMENT = (ROOT / "SECURITY.md").read_text()
FLAT = " ".join(DOCUMENT.split())


def test_limits_of_a_build_are_as_it_says() -> None:
    settings = BuildSettings("x")
    assert (
        f"{settings.max_image_bytes // 2**20} MiB and {settings.max_image_pixels / 1e6:g} "
        f"megapixels an image, scans and chunks counted, {settings.max_packet_bytes // 2**20} MiB "
        f"a packet, {settings.max_streams} streams, {settings.max_stream_memory // 2**30} GiB"
    ) in FLAT
    seconds = settings.queue_timeout_ms / 1000
    assert f"{settings.max_queue} requests in each queue and {seconds:g} s in it" in FLAT


def test_limits_of_the_gateway_are_as_it_says() -> None:
    limits = Limits()
    assert (
        f"{limits.connections} connections, {limits.client_connections} for each address, "
        f"{limits.client_frames_per_s:g} frames a second for each address, "
        f"{limits.message_bytes // 2**20} MiB a message, ten seconds"
    ) in FLAT
    assert REQUEST_PATIENCE_S == 10


def test_other_defaults_are_as_it_says() -> None:
    assert ServerOptions(ROOT).address == LOOPBACK
    assert RetryPolicy().attempts == 10
    assert f"from {mended_in(HOLES)} on" in FLAT
    for image in ("Dockerfile", "Dockerfile.cpu"):
        text = (ROOT / "docker" / image).read_text()
        assert '"--restrict"]' in text
        assert text.rindex("USER 1000:1000") > text.rindex("FROM ")


def test_nobody_s_address_is_in_it() -> None:
    assert not re.search(r"[\w.]+@[\w.]+", DOCUMENT)
