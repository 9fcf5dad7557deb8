"""What the metrics of a batch cost: added up in the process, and sent as messages to Triton.

    .venv/bin/python benchmarks/metrics.py > build/metrics.txt 2>&1; grep RESULT build/metrics.txt

The embedded Triton loads `metric_messages/model.py` beside the served models' own files; the model
measures while it starts.
"""

from __future__ import annotations

import shutil
import socket
import tempfile
from pathlib import Path

from builder.serving.server import triton_server
from builder.serving.server_options import ServerOptions
from thin_client import contract

MODEL = Path(__file__).parent / "metric_messages" / "model.py"
SERVED = Path(__file__).parent.parent / "src" / "builder" / "served_models"
CONFIG = """
name: "cost_bls" backend: "python" max_batch_size: 1
input { name: "x" data_type: TYPE_FP32 dims: 1 }
output { name: "y" data_type: TYPE_FP32 dims: 1 }
instance_group { count: 1 kind: KIND_CPU }
"""


def main() -> None:
    """Serve the model until it has been loaded."""
    with tempfile.TemporaryDirectory() as folder:
        version = Path(folder) / "cost_bls" / "1"
        version.mkdir(parents=True)
        (version.parent / "config.pbtxt").write_text(CONFIG)
        for step in ("shared", "preprocess", "postprocess"):
            for file in (SERVED / step).glob("*.py"):
                shutil.copy(file, version)
        shutil.copy(contract.__file__, version)
        shutil.copy(MODEL, version)
        sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
        grpc_port, http_port, metrics_port = (each.getsockname()[1] for each in sockets)
        for each in sockets:
            each.close()
        options = ServerOptions(
            Path(folder),
            grpc_port=grpc_port,
            http_port=http_port,
            metrics_port=metrics_port,
            verbose=True,
        )
        with triton_server(options) as server:
            server.wait_until_ready()


if __name__ == "__main__":
    main()
