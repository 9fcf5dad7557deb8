"""Serving until a signal comes."""

from __future__ import annotations

import sys
from contextlib import suppress

from builder.serving.exposure import exposure_warning
from builder.serving.loading import not_served_line
from builder.serving.server import sigterm_interrupts, triton_server
from builder.serving.server_options import ServerOptions
from builder.serving.supervision.supervisor import Supervision, supervise


def serve(options: ServerOptions, supervision: Supervision | None = None) -> None:
    """Serve in the foreground until a signal comes, printing one line when ready.

    Args:
        options: of the server.
        supervision: how it is watched; None ends when the process of a model dies.
    """
    with suppress(KeyboardInterrupt), sigterm_interrupts():
        if supervision is None:
            _serve(options)
        else:
            supervise(options, supervision)


def _serve(options: ServerOptions) -> None:
    with triton_server(options) as server:
        try:
            found = server.wait_until_loaded()
            for name, why in found.missing.items():
                line = not_served_line(options, name, why)
                print(f"framewire: {line}", file=sys.stderr, flush=True)
            if warning := exposure_warning(options, server.version):
                print(f"framewire: warning: {warning}", file=sys.stderr, flush=True)
            print(options.ready_line(found.models, found.missing), flush=True)
            server.wait()
        except KeyboardInterrupt:
            # Triton may have taken requests before we called it ready. While this lasts a second
            # signal ends it at once.
            server.drain()
