"""Whether the pipelines of a server on this machine or another are ready.

A container's health check asks every few seconds, so this imports neither ONNX nor gRPC.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Sequence
from pathlib import Path

from builder.errors import RepositoryError, ServerNotReadyError
from builder.pipelines.pipeline_models import all_names, has_streams, models_of


def pipelines_by_manifest(repository: Path) -> tuple[str, ...]:
    """Return the names of the pipelines in a repository, damaged ones too.

    Raises:
        RepositoryError: there is none.
    """
    names = all_names(repository)
    if not names:
        raise RepositoryError(
            f"{repository} holds no pipelines to ask for: name some, as in `framewire health "
            "codes`, or their repository with --repository"
        )
    return names


def check_ready(
    names: Sequence[str],
    address: str,
    http_port: int,
    *,
    repository: Path | None = None,
    timeout_s: float = 5,
) -> None:
    """Check that a server answers for every model of some pipelines.

    Each of them is asked for: Triton does not know that ``NAME_bls`` needs the network, and calls
    it ready without.

    Args:
        names: of the pipelines.
        address: of the server.
        http_port: likewise.
        repository: that says which models a pipeline has; without, the five that all have count.
        timeout_s: for the connection and for each answer.

    Raises:
        ServerNotReadyError: naming, for each pipeline that is not ready, the first model that is
            not.
    """
    connection = http.client.HTTPConnection(address, http_port, timeout=timeout_s)
    unready: list[str] = []
    try:
        for name in names:
            known = repository is not None and has_streams(repository, name)
            for model in models_of(name, streams=known):
                connection.request("GET", f"/v2/models/{model}/ready")
                answer = connection.getresponse()
                answer.read()
                if answer.status != http.client.OK:
                    unready.append(
                        f"pipeline {name} is not ready: Triton on {address}:{http_port} answered "
                        f"{answer.status} for {model}"
                    )
                    break
    except (OSError, http.client.HTTPException) as error:
        raise ServerNotReadyError(
            f"pipeline {', '.join(names)} is not ready: no answer from HTTP {address}:{http_port} "
            f"({error}); start the server, or name its --address and --http-port"
        ) from error
    finally:
        connection.close()
    if unready:
        raise ServerNotReadyError("; ".join(unready) + "; its log says why")


def check_supervised(
    names: Sequence[str], address: str, health_port: int, *, timeout_s: float = 5
) -> tuple[str, ...]:
    """Check what a server's supervisor says of some pipelines: that they answer, not only exist.

    Args:
        names: of the pipelines; all that the server has when empty.
        address: of the server.
        health_port: of its supervisor.
        timeout_s: for the connection and for each answer.

    Returns:
        the names of the pipelines that are ready.

    Raises:
        ServerNotReadyError: with the supervisor's reason.
    """
    connection = http.client.HTTPConnection(address, health_port, timeout=timeout_s)
    ready: list[str] = []
    try:
        for path in [f"/readyz/{name}" for name in names] or ["/readyz"]:
            connection.request("GET", path)
            answer = connection.getresponse()
            told = json.loads(answer.read())
            if not isinstance(told, dict):
                raise ValueError("it is somebody else")
            if answer.status != http.client.OK:
                raise ServerNotReadyError(
                    f"{path} of the server at {address}:{health_port} answered {answer.status} "
                    f"({told.get('why')}): its log says more"
                )
            ready += told.get("pipelines", ())
            connection.close()
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise ServerNotReadyError(
            f"no answer from a supervisor at {address}:{health_port} ({error}): start the server, "
            "without --no-supervise, or name its --address and --health-port"
        ) from error
    finally:
        connection.close()
    return tuple(ready)


def check_metrics(address: str, metrics_port: int, *, timeout_s: float = 5) -> None:
    """Check that a server gives its metrics; Triton opens their port last.

    Args:
        address: of the server.
        metrics_port: likewise.
        timeout_s: for the connection and for the answer.

    Raises:
        ServerNotReadyError: it does not.
    """
    connection = http.client.HTTPConnection(address, metrics_port, timeout=timeout_s)
    try:
        connection.request("GET", "/metrics")
        connection.getresponse().read()
    except (OSError, http.client.HTTPException) as error:
        raise ServerNotReadyError(
            f"no metrics from {address}:{metrics_port} ({error}): wait until the server is ready"
        ) from error
    finally:
        connection.close()
