"""Which releases of Triton have known holes, and when `framewire serve` says so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from builder.serving.access import Access
from builder.serving.exposure import exposure_warning
from builder.serving.known_holes import HOLES, container_tag, known_holes, mended_in
from builder.serving.server_options import ServerOptions

ROOT = Path(__file__).parents[2]
RESTRICTED = Access(admin_key="0123456789abcdef")
ANY_ADDRESS = "0.0.0.0"  # noqa: S104 - not bound


def test_a_release_has_the_holes_that_were_mended_after_it() -> None:
    assert "CVE-2025-23310" in {hole.cve for hole in known_holes("25.06")}
    assert "CVE-2025-23310" not in {hole.cve for hole in known_holes("25.07")}
    assert {hole.cve for hole in known_holes("26.06")} == {"CVE-2026-16497"}
    assert known_holes("26.07") == ()


def test_the_newest_mended_come_first() -> None:
    order = [hole.fixed_in for hole in known_holes("24.10")]
    assert order == sorted(order, reverse=True)


# Server and container of NVIDIA's release notes.
@pytest.mark.parametrize(
    ("server", "container"),
    [
        ("2.35.0", "23.06"),
        ("2.42.0", "24.01"),
        ("2.51.0", "24.10"),
        ("2.59.0", "25.06"),
        ("2.59.1", "25.07"),
        ("2.60.0", "25.08"),
        ("2.70.0", "26.06"),
        ("2.73.0", "26.09"),
    ],
)
def test_a_server_and_its_container_have_the_same_holes(server: str, container: str) -> None:
    assert container_tag(server) == container
    assert known_holes(server) == known_holes(container) == known_holes(f"{container}-py3")


@pytest.mark.parametrize("version", ["", "unknown", "24", "1.0.0", "24.10.1.2"])
def test_what_is_no_version_of_triton_is_refused(version: str) -> None:
    with pytest.raises(ValueError, match="is no version of Triton"):
        known_holes(version)


def test_every_hole_is_told_in_a_sentence_with_its_number() -> None:
    assert len({hole.cve for hole in HOLES}) == len(HOLES)
    for hole in HOLES:
        assert re.fullmatch(r"CVE-\d{4}-\d{4,5}", hole.cve)
        assert re.fullmatch(r"\d\d\.\d\d", hole.fixed_in)
        assert hole.sentence
        assert not hole.sentence.endswith(".")


def test_the_container_that_is_built_by_default_has_no_known_hole() -> None:
    dockerfile = (ROOT / "docker" / "Dockerfile").read_text()
    default = re.search(r"^ARG TRITON=(\S+)$", dockerfile, re.MULTILINE)
    assert default is not None
    assert known_holes(default[1]) == ()


def test_the_page_on_containers_supports_no_release_with_known_holes() -> None:
    page = (ROOT / "docs" / "containers.md").read_text()
    supported = re.search(r"^\| (\d\d\.\d\d) to \d\d\.\d\d \| supported", page, re.MULTILINE)
    assert supported is not None
    assert supported[1] == mended_in(HOLES)


def test_a_server_that_others_reach_names_the_worst_holes_and_the_cure() -> None:
    warning = exposure_warning(ServerOptions(Path(), ANY_ADDRESS, access=RESTRICTED), "2.51.0")
    assert warning is not None
    assert "Triton 24.10 has" in warning
    assert "CVE-2025-23316" in warning
    assert "26.07" in warning
    assert "--restrict" not in warning
    assert "\n" not in warning


def test_a_server_without_holes_is_still_told_that_it_is_open() -> None:
    warning = exposure_warning(ServerOptions(Path(), "10.0.0.7"), "2.73.0")
    assert warning is not None
    assert "without --restrict" in warning
    assert "CVE" not in warning


def test_a_restricted_server_without_holes_is_left_in_peace() -> None:
    assert exposure_warning(ServerOptions(Path(), ANY_ADDRESS, access=RESTRICTED), "2.73.0") is None


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.2", "localhost"])
def test_on_loopback_nothing_is_said(address: str) -> None:
    assert exposure_warning(ServerOptions(Path(), address), "2.51.0") is None


@pytest.mark.parametrize("version", [None, "main"])
def test_of_a_triton_of_unknown_version_no_holes_are_claimed(version: str | None) -> None:
    warning = exposure_warning(ServerOptions(Path(), ANY_ADDRESS), version)
    assert warning is not None
    assert "known holes" not in warning
