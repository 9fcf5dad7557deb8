"""A running server as far as it tells about itself, over gRPC, and its process where it is here."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import grpc
from tritonclient.grpc import model_config_pb2 as pb
from tritonclient.grpc import service_pb2, service_pb2_grpc

from builder.benchmark.running import listening_triton
from builder.benchmark.server_work import Statistics
from builder.doctor.finding import ELSEWHERE, CannotLook
from builder.doctor.processes import PROC, option_of
from builder.serving.access import ADMIN_KEY_VARIABLE
from builder.serving.running_server import WANTS_KEY
from builder.serving.shared_memory import SHM_FOLDER
from thin_client.connection import Connection
from thin_client.contract import ModelNames, model_names

ANSWER_S = 5
READY = "READY"


class RunningTriton:
    """A server, asked once for everything; what it does not tell raises :class:`CannotLook`.

    Args:
        connection: how to reach it, with the admin key among the headers where there is one.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.url = connection.url
        credentials = connection.credentials()
        options = connection.channel_options()
        channel = (
            grpc.insecure_channel(connection.target, options)
            if credentials is None
            else grpc.secure_channel(connection.target, credentials, options)
        )
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)

    def answers(self) -> str | None:
        """Return None when it is there, else why not, in its own or gRPC's words."""
        try:
            self._call("ServerLive", service_pb2.ServerLiveRequest())
        except grpc.RpcError as error:
            return _words(error)
        return None

    @cached_property
    def version(self) -> str:
        """Triton's own version, as "2.51.0"."""
        answer = self._asked("ServerMetadata", service_pb2.ServerMetadataRequest())
        return str(answer.version)

    @cached_property
    def ready(self) -> bool:
        """Whether it calls itself ready."""
        return bool(self._asked("ServerReady", service_pb2.ServerReadyRequest()).ready)

    @cached_property
    def index(self) -> Mapping[str, Mapping[int, tuple[str, str]]]:
        """State and reason of every version of every model."""
        answer = self._asked("RepositoryIndex", service_pb2.RepositoryIndexRequest())
        found: dict[str, dict[int, tuple[str, str]]] = {}
        for model in answer.models:
            # A model that never loaded has no version.
            version = int(model.version or 0)
            found.setdefault(model.name, {})[version] = (model.state, model.reason)
        return found

    @cached_property
    def pipelines(self) -> tuple[str, ...]:
        """Names of the pipelines that it knows of, loaded or not."""
        names = set(self.index)
        return tuple(sorted(name for name in names if names >= _five(model_names(name))))

    def ready_versions(self, model: str) -> tuple[int, ...]:
        """Return the versions of a model that take requests."""
        states = self.index.get(model, {})
        return tuple(sorted(version for version, (state, _) in states.items() if state == READY))

    def config(self, model: str) -> pb.ModelConfig | None:
        """Return the config that a model was loaded with; None when it is not loaded."""
        if not self.ready_versions(model):
            return None
        asked = service_pb2.ModelConfigRequest(name=model)
        return self._asked("ModelConfig", asked).config

    def model_ready(self, model: str) -> bool:
        """Return whether some version of a model takes requests; needs no admin key."""
        try:
            asked = service_pb2.ModelReadyRequest(name=model)
            return bool(self._call("ModelReady", asked).ready)
        except grpc.RpcError:
            return False

    def statistics(self) -> Statistics:
        """Return its statistics of all models up to now."""
        answer = self._asked("ModelStatistics", service_pb2.ModelStatisticsRequest())
        return {(each.name, each.version): each for each in answer.model_stats}

    @cached_property
    def pid(self) -> int | None:
        """Process id of the tritonserver, where it is on this machine and can be seen."""
        return listening_triton(self.connection.target)

    @property
    def process(self) -> int:
        """Likewise, for what cannot go without."""
        if self.pid is None:
            raise CannotLook(ELSEWHERE)
        return self.pid

    @cached_property
    def repository(self) -> Path | None:
        """The repository that it serves, where that can be seen from here."""
        if self.pid is None or not _same_files(self.pid):
            return None
        folder = option_of(self.pid, "--model-repository")
        if not folder or not Path(folder).is_dir():
            return None
        # `framewire serve` gives it a link, or a folder of links to the models that it can serve.
        models = list(Path(folder).iterdir())
        linked = {each.resolve().parent for each in models}
        if len(linked) == 1 and all(each.is_symlink() for each in models):
            return linked.pop()
        return Path(folder).resolve()

    @cached_property
    def shared_memory(self) -> Path:
        """Its /dev/shm, which is not this process's where it runs in a container."""
        if self.pid is None or _same_files(self.pid):
            return SHM_FOLDER
        return PROC / str(self.pid) / "root" / SHM_FOLDER.relative_to("/")

    def _asked(self, method: str, request: Any) -> Any:
        try:
            return self._call(method, request)
        except grpc.RpcError as error:
            words = _words(error)
            if WANTS_KEY in words:
                raise CannotLook(
                    f"{self.url} tells it only to those who have its admin key: put the key into "
                    f"the variable {ADMIN_KEY_VARIABLE}"
                ) from error
            raise CannotLook(f"{self.url} does not tell: {words}") from error

    def _call(self, method: str, request: Any) -> Any:
        call = getattr(self._stub, method)
        return call(request, timeout=ANSWER_S, metadata=self.connection.metadata)


def _five(names: ModelNames) -> set[str]:
    return set(names.all)


def _words(error: grpc.RpcError) -> str:
    details = str(error.details() or error.code().name)
    return details.splitlines()[0]


def _same_files(pid: int) -> bool:
    """Return whether a process sees the same files as this one."""
    try:
        theirs, ours = (PROC / str(pid) / "ns" / "mnt"), (PROC / "self" / "ns" / "mnt")
        return theirs.readlink() == ours.readlink()
    except OSError:
        return False
