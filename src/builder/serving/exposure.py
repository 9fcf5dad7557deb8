"""What a server that others can reach is open to, said when it starts."""

from __future__ import annotations

import ipaddress

from builder.serving.known_holes import container_tag, known_holes, mended_in
from builder.serving.server_options import ServerOptions

NAMED_HOLES = 3


def exposure_warning(options: ServerOptions, version: str | None) -> str | None:
    """Return one sentence about who can do what to a server, or None when there is nothing to say.

    On loopback nothing is said: there it is for those who have an account on the machine, and
    `framewire doctor` tells them.

    Args:
        options: it was started with.
        version: of Triton, as it gives it; None where it gave none.
    """
    if _is_loopback(options.address):
        return None
    faults = [fault for fault in (_holes(version), _open_endpoints(options)) if fault]
    if not faults:
        return None
    return (
        f"others can reach {options.address}, and {', and '.join(faults)}: let in only whom you "
        "trust, see docs/containers.md"
    )


def _holes(version: str | None) -> str | None:
    try:
        holes = known_holes(version or "")
        release = container_tag(version or "")
    except ValueError:
        return None  # a Triton of somebody's own, of which no bulletin speaks
    if not holes:
        return None
    # Among equals the ones that were mended last.
    worst = sorted(holes, key=lambda hole: -hole.score)[:NAMED_HOLES]
    return (
        f"Triton {release} has {len(holes)} known holes ({', '.join(hole.cve for hole in worst)} "
        f"the worst; all are mended in {mended_in(holes)})"
    )


def _open_endpoints(options: ServerOptions) -> str | None:
    if options.access.admin_key is not None:
        return None
    return "without --restrict everybody may load models and read shared memory"


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"
