"""Make docs/gateway.jpg: python -m tests.gateway.make_screenshot."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from tests.conftest import ROOT
from tests.gateway.browsing import camera_options
from tests.gateway.chromium import chromium
from tests.gateway.running import gateway
from tests.serving import serving

SETTLED_S = 4.0


def main() -> None:
    with (
        tempfile.TemporaryDirectory() as scratch,
        serving(ROOT / "model_repository") as triton,
        gateway(triton.url) as running,
        chromium(
            Path(scratch) / "profile",
            *camera_options(ROOT / "samples" / "warehouse.jpg", Path(scratch)),
        ) as page,
    ):
        page.open(f"{running.url}/")
        page.resize(1100, 760)
        page.wait_for("document.getElementById('state').textContent === 'connected'")
        page.evaluate("document.getElementById('camera').click()")
        page.wait_for("document.querySelector('#classes .found')")
        ends_at = time.monotonic() + SETTLED_S
        page.wait_until(lambda: time.monotonic() > ends_at, "the meters")
        (ROOT / "docs" / "gateway.jpg").write_bytes(page.screenshot(quality=70))


if __name__ == "__main__":
    main()
