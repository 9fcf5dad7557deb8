"""Which version of Triton it is: too old, or with known holes."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import metadata

from builder.doctor.case import Case
from builder.doctor.environment import is_loopback, listening_address
from builder.doctor.finding import CannotLook, Finding, Seen, error, hint, warning
from builder.doctor.installation import installed_triton, triton_version
from builder.serving.embedded import DISTRIBUTION
from builder.serving.known_holes import Hole, container_tag, known_holes, mended_in

# The oldest that pipelines are tested with: the embedded one.
OLDEST = "24.10"
# Of the releases of its wheel, which say nothing about the Triton in them.
EMBEDDED_VERSIONS = {"0.7.0": "24.10"}
NAMED_HOLES = 3
NEWER = "`make image-gpu` builds the newest supported one"


def look_at_version(case: Case) -> Seen:
    """Look at the version of the running Triton, else of the installed one."""
    running = case.running
    version = running.version if running else _installed_version(case)
    try:
        tag, holes = container_tag(version), known_holes(version)
    except ValueError as reason:
        raise CannotLook(str(reason)) from reason
    where = f"the Triton at {running.url}" if running else "the Triton that is installed"
    findings: list[Finding] = []
    if _number(tag) < _number(OLDEST):
        findings.append(
            error(
                "triton-too-old",
                f"{where} is {version}, of container {tag}, and pipelines need {OLDEST} or later",
                f"{NEWER} (docs/containers.md), and `framewire serve` starts one of {OLDEST}",
            )
        )
    if holes:
        address = listening_address(running) if running else None
        findings.append(_vulnerable(f"{where} ({tag})", holes, address, started=bool(running)))
    return Seen(f"{tag}, {len(holes) or 'no'} known holes", tuple(findings))


def _vulnerable(
    where: str, holes: Sequence[Hole], address: str | None, *, started: bool
) -> Finding:
    worst = sorted(holes, key=lambda hole: -hole.score)[:NAMED_HOLES]
    sentence = (
        f"{where} has {len(holes)} known holes, {', '.join(hole.cve for hole in worst)} the worst, "
        f"all mended in {mended_in(tuple(holes))}"
    )
    if not started:
        return hint(
            "triton-vulnerable",
            f"{sentence}; `framewire serve` listens on this machine only unless told otherwise",
            f"for other machines {NEWER}",
        )
    if address is not None and is_loopback(address):
        return hint(
            "triton-vulnerable",
            f"{sentence}; it listens on {address}, so only this machine's users reach them",
            f"for other machines {NEWER}",
        )
    reach = f"it listens on {address}" if address else "others may reach it"
    return warning("triton-vulnerable", f"{sentence}, and {reach}", f"{NEWER} (docs/containers.md)")


def _installed_version(case: Case) -> str:
    installed = installed_triton(case)
    if installed is not None:
        if version := triton_version(installed):
            return version
        raise CannotLook(f"{installed} does not say its version while it is not running")
    try:
        wheel = metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError as reason:
        raise CannotLook("no Triton is installed") from reason
    if wheel in EMBEDDED_VERSIONS:
        return EMBEDDED_VERSIONS[wheel]
    raise CannotLook(f"which Triton is in {DISTRIBUTION} {wheel} is not known until it runs")


def _number(tag: str) -> tuple[int, ...]:
    return tuple(map(int, tag.split(".")))
