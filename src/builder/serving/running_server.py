"""Having a running Triton take a new version of a pipeline, and knowing when it has."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from builder.errors import ServerNotReadyError, VersionNotLoadedError
from builder.pipelines.pipeline_models import Streams, public_models, step_models
from builder.serving.access import ADMIN_KEY_VARIABLE
from builder.serving.load_failures import short_reason
from builder.serving.version_states import AT_WORK, VersionStates
from thin_client.connection import Connection
from thin_client.contract import model_names

POLL_S = 0.2
ANSWER_S = 10
# What Triton says in every mode but the explicit one.
NOT_EXPLICIT = "explicit model load / unload is not allowed"
# What it says to a call without the admin key.
WANTS_KEY = "This protocol is restricted"


@contextmanager
def _stub(connection: Connection) -> Iterator[service_pb2_grpc.GRPCInferenceServiceStub]:
    """Open a channel of its own: one that was refused waits a second before it tries again."""
    credentials = connection.credentials()
    channel = (
        grpc.insecure_channel(connection.target)
        if credentials is None
        else grpc.secure_channel(connection.target, credentials)
    )
    with channel:
        yield service_pb2_grpc.GRPCInferenceServiceStub(channel)


def model_states(server: Connection) -> VersionStates:
    """Return the state of every version of every model, or nothing while nobody answers."""
    request = service_pb2.RepositoryIndexRequest()
    with _stub(server) as stub:
        try:
            index = stub.RepositoryIndex(request, timeout=ANSWER_S, metadata=server.metadata)
        except grpc.RpcError:
            return {}
    states: dict[str, dict[int, str]] = {}
    for model in index.models:
        # A model that never loaded has no version.
        states.setdefault(model.name, {})[int(model.version or 0)] = model.state
    return states


def load_version(
    server: Connection,
    name: str,
    version: int,
    timeout_s: float,
    *,
    streams: Streams | bool = False,
) -> None:
    """Have a server take a published version, and wait until nothing needs the one before.

    A server in explicit mode is told; one in poll mode finds the version itself.

    Args:
        server: how to reach it, with the admin key among the headers where it wants one.
        name: of the pipeline.
        version: that its repository names as the active one.
        timeout_s: for all of it.
        streams: whether the pipeline takes streams.

    Raises:
        ServerNotReadyError: nobody answers, or it did not take the version in time.
        VersionNotLoadedError: Triton refused the version. It still has the one before; where it had
            none, nothing of the pipeline is left loaded.
    """
    deadline = time.monotonic() + timeout_s
    before = model_states(server)
    public = public_models(name, streams=streams)
    served = any("READY" in before.get(model, {}).values() for model in public)
    try:
        _load_version(server, name, version, deadline, timeout_s, streams=streams)
    except VersionNotLoadedError as error:
        if served:
            raise VersionNotLoadedError(
                f"{error}, and it keeps the one before: go back with `framewire rollback`, or mend "
                "it and build again"
            ) from error
        _unload_all(server, (*public, *step_models(name, streams=streams)), version)
        raise VersionNotLoadedError(
            f"{error}, and {name} is not served: mend it or build it again, and load it again"
        ) from error


def _load_version(
    server: Connection,
    name: str,
    version: int,
    deadline: float,
    timeout_s: float,
    *,
    streams: Streams | bool,
) -> None:
    # The ensemble would bring its steps with it; but where one of them does not load, Triton stops
    # the ensemble too, unless it is told to load the steps by themselves first.
    for step in step_models(name, streams=streams):
        try:
            _load(server, step, version, deadline)
        except VersionNotLoadedError:
            # After a rollback from a version that does not load, that one still does not.
            if model_states(server).get(step, {}).get(version) != "READY":
                raise
    for model in public_models(name, streams=streams):
        _load(server, model, version, deadline)
        _await(server, model, version, deadline, timeout_s)


def unload_old_versions(
    server: Connection,
    name: str,
    version: int,
    timeout_s: float,
    *,
    streams: Streams | bool = False,
) -> None:
    """Have a server in explicit mode take configs that name ``version`` only.

    Raises:
        ServerNotReadyError: nobody answers.
        VersionNotLoadedError: Triton refused.
    """
    deadline = time.monotonic() + timeout_s
    names = model_names(name)
    for ensemble in (names.ensemble, names.stream) if streams else (names.ensemble,):
        _load(server, ensemble, version, deadline)


def _await(server: Connection, model: str, version: int, deadline: float, timeout_s: float) -> None:
    while True:
        found = model_states(server).get(model, {})
        at_work = {number for number, state in found.items() if state in AT_WORK}
        # The old version is gone when the last of its requests is answered.
        if at_work == {version} and found[version] == "READY":
            return
        if time.monotonic() > deadline:
            serves = ", ".join(map(str, sorted(at_work))) or "none"
            raise ServerNotReadyError(
                f"the server at {server.url} did not change to version {version} of {model} "
                f"within {timeout_s:g} s, it has version {serves}: start it with --control poll or "
                "explicit, start it again, or give it more time with --timeout"
            )
        time.sleep(POLL_S)


def _load(server: Connection, model: str, version: int, deadline: float) -> None:
    with _told_by_triton(server.url, model, version), _stub(server) as stub:
        stub.RepositoryModelLoad(
            service_pb2.RepositoryModelLoadRequest(model_name=model),
            timeout=max(deadline - time.monotonic(), 1),
            metadata=server.metadata,
        )


def _unload_all(server: Connection, models: Sequence[str], version: int) -> None:
    """Give back what is loaded of some models, and wait for a while until it is."""
    deadline = time.monotonic() + ANSWER_S
    for model in models:
        with (
            suppress(ServerNotReadyError, VersionNotLoadedError),
            _told_by_triton(server.url, model, version),
            _stub(server) as stub,
        ):
            stub.RepositoryModelUnload(
                service_pb2.RepositoryModelUnloadRequest(model_name=model),
                timeout=ANSWER_S,
                metadata=server.metadata,
            )
    while time.monotonic() < deadline:
        states = model_states(server)
        if not any(AT_WORK & set(states.get(model, {}).values()) for model in models):
            return
        time.sleep(POLL_S)


@contextmanager
def _told_by_triton(url: str, model: str, version: int) -> Iterator[None]:
    try:
        yield
    except grpc.RpcError as error:
        why = error.details() or error.code().name
        if NOT_EXPLICIT in why:
            return
        if WANTS_KEY in why:
            raise ServerNotReadyError(
                f"the server at {url} lets only those load models who have its admin key: put the "
                f"key into the variable {ADMIN_KEY_VARIABLE}"
            ) from error
        if error.code() in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}:
            raise ServerNotReadyError(
                f"no answer from a server at {url} ({why.splitlines()[0]}): check --url, host and "
                "port of its gRPC endpoint"
            ) from error
        raise VersionNotLoadedError(
            f"the server at {url} could not load version {version} of {model} ({short_reason(why)})"
        ) from error
