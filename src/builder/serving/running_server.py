"""Having a running Triton take a new version of a pipeline, and knowing when it has."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from builder.errors import ServerNotReadyError, VersionNotLoadedError
from thin_client.contract import model_names

POLL_S = 0.2
ANSWER_S = 10
# States of Triton's repository index in which a version still has work.
AT_WORK = frozenset({"READY", "LOADING", "UNLOADING"})
# What Triton says in every mode but the explicit one.
NOT_EXPLICIT = "explicit model load / unload is not allowed"

VersionStates = Mapping[str, Mapping[int, str]]


def model_states(url: str) -> VersionStates:
    """Return the state of every version of every model, or nothing while nobody answers."""
    # A new channel each time: one that was refused waits a second before it tries again.
    with grpc.insecure_channel(url) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        try:
            index = stub.RepositoryIndex(service_pb2.RepositoryIndexRequest(), timeout=ANSWER_S)
        except grpc.RpcError:
            return {}
    states: dict[str, dict[int, str]] = {}
    for model in index.models:
        # A model that never loaded has no version.
        states.setdefault(model.name, {})[int(model.version or 0)] = model.state
    return states


def model_instances(url: str, model: str, version: int) -> int:
    """Return how many instances a version of a model is to have, 0 while nobody answers."""
    request = service_pb2.ModelConfigRequest(name=model, version=str(version))
    with grpc.insecure_channel(url) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        try:
            config = stub.ModelConfig(request, timeout=ANSWER_S).config
        except grpc.RpcError:
            return 0
    return sum(group.count for group in config.instance_group)


def load_version(url: str, name: str, version: int, timeout_s: float) -> None:
    """Have a server take a published version, and wait until nothing needs the one before.

    A server in explicit mode is told; one in poll mode finds the version itself.

    Args:
        url: host and port of its gRPC endpoint.
        name: of the pipeline.
        version: that its repository names as the active one.
        timeout_s: for all of it.

    Raises:
        ServerNotReadyError: nobody answers, or it did not take the version in time.
        VersionNotLoadedError: Triton refused the version; it still has the one before.
    """
    deadline = time.monotonic() + timeout_s
    names = model_names(name)
    # The ensemble would bring its steps with it; but where one of them does not load, Triton stops
    # the ensemble too, unless it is told to load the steps by themselves first.
    for step in (names.network, names.preprocess, names.postprocess):
        try:
            _load(url, step, version, deadline)
        except VersionNotLoadedError:
            # After a rollback from a version that does not load, that one still does not.
            if model_states(url).get(step, {}).get(version) != "READY":
                raise
    for model in (names.ensemble, names.bls):
        _load(url, model, version, deadline)
        _await(url, model, version, deadline, timeout_s)


def unload_old_versions(url: str, name: str, version: int, timeout_s: float) -> None:
    """Have a server in explicit mode take configs that name ``version`` only.

    Raises:
        ServerNotReadyError: nobody answers.
        VersionNotLoadedError: Triton refused.
    """
    _load(url, name, version, time.monotonic() + timeout_s)


def _await(url: str, model: str, version: int, deadline: float, timeout_s: float) -> None:
    while True:
        found = model_states(url).get(model, {})
        at_work = {number for number, state in found.items() if state in AT_WORK}
        # The old version is gone when the last of its requests is answered.
        if at_work == {version} and found[version] == "READY":
            return
        if time.monotonic() > deadline:
            serves = ", ".join(map(str, sorted(at_work))) or "none"
            raise ServerNotReadyError(
                f"the server at {url} did not change to version {version} of {model} within "
                f"{timeout_s:g} s, it has version {serves}: start it with --control poll or "
                "explicit, start it again, or give it more time with --timeout"
            )
        time.sleep(POLL_S)


def _load(url: str, model: str, version: int, deadline: float) -> None:
    with _told_by_triton(url, model, version), grpc.insecure_channel(url) as channel:
        service_pb2_grpc.GRPCInferenceServiceStub(channel).RepositoryModelLoad(
            service_pb2.RepositoryModelLoadRequest(model_name=model),
            timeout=max(deadline - time.monotonic(), 1),
        )


@contextmanager
def _told_by_triton(url: str, model: str, version: int) -> Iterator[None]:
    try:
        yield
    except grpc.RpcError as error:
        why = error.details() or error.code().name
        if NOT_EXPLICIT in why:
            return
        if error.code() in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}:
            raise ServerNotReadyError(
                f"no answer from a server at {url} ({why.splitlines()[0]}): check --url, host and "
                "port of its gRPC endpoint"
            ) from error
        reason = why.split("\n\nAt:")[0].splitlines()[0]
        raise VersionNotLoadedError(
            f"the server at {url} could not load version {version} of {model} and keeps the one "
            f"before ({reason}): go back with `framewire rollback`, or mend it and build again"
        ) from error
