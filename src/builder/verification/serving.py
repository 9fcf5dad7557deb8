"""One pipeline served for as long as it takes to ask it something."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from builder.errors import VerificationError
from builder.pipelines.pipeline_models import models_in
from builder.serving.ports import free_ports
from builder.serving.server import sigterm_interrupts, triton_server
from builder.serving.server_options import ServerOptions
from builder.settings import Runtime


@contextmanager
def served(repository: Path, name: str, runtime: Runtime) -> Iterator[str]:
    """Serve a pipeline with the embedded Triton on free ports; yields the gRPC address.

    SIGTERM ends it as Ctrl-C does, and nothing is left behind.

    Args:
        repository: that holds it; what else is in there is left alone.
        name: of the pipeline.
        runtime: of its network.

    Raises:
        VerificationError: the embedded Triton cannot run its network.
        ServerError: it cannot be started, or does not become ready.
    """
    if runtime is not Runtime.PYTHON:
        raise VerificationError(
            f"the embedded Triton cannot run {name}, whose network is built with --runtime "
            f"{runtime.value}: serve it where it can run and use `framewire verify --url`"
        )
    grpc_port, http_port, metrics_port = free_ports(3)
    with sigterm_interrupts(), tempfile.TemporaryDirectory(prefix="framewire-verify-") as folder:
        for model in models_in(repository, name):
            (Path(folder) / model).symlink_to((repository / model).resolve())
        options = ServerOptions(
            Path(folder), grpc_port=grpc_port, http_port=http_port, metrics_port=metrics_port
        )
        with triton_server(options) as server:
            server.wait_until_ready()
            yield server.grpc_url
