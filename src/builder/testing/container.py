"""A Framewire image, running, with its pipelines ready."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import docker.errors
from docker.types import DeviceRequest
from testcontainers.core.container import DockerContainer

from builder.demo import PIPELINE as DEMO_PIPELINE
from builder.deployment.docker_run import REPOSITORY_IN_CONTAINER
from builder.errors import ContainerFailedError, ServerNotReadyError
from builder.pipelines.load_waits import longest_wait
from builder.serving.access import ADMIN_KEY_VARIABLE, GRPC_ADMIN_HEADER, HTTP_ADMIN_HEADER
from builder.serving.readiness import check_metrics, check_ready, pipelines_by_manifest
from builder.serving.server_options import LOOPBACK, ServerOptions
from builder.testing.default_image import default_image
from builder.testing.failures import death_sentence, last_lines, not_served, told_by_docker
from builder.testing.limits import container_limits
from builder.testing.mounts import readable_folder
from builder.testing.tls import TLS_FOLDER, TlsFiles
from builder.trial.load_wait import LEAST_WAIT_S
from thin_client import Connection, Detector

if TYPE_CHECKING:
    from typing_extensions import Self

PORTS = ServerOptions(Path(REPOSITORY_IN_CONTAINER)).ports
# A first start may have to make a TensorRT plan.
GPU_READY_TIMEOUT_S = 1800
# Longer than a server takes that answers what it has accepted; see docs/serving.md.
STOP_TIMEOUT_S = 75
LOOK_S = 0.2
# What testcontainers raises where a container ended while it asked for a port.
NOT_RUNNING = (docker.errors.APIError, ConnectionError, RuntimeError, TimeoutError)


class FramewireContainer(DockerContainer):
    """A container that serves pipelines; in a ``with`` block they are ready.

    What can change the server wants its admin key, and its ports are published on loopback only.
    testcontainers' own methods, such as ``with_env`` and ``with_volume_mapping``, work too.

    Args:
        image: that ``make image`` made; None takes what FRAMEWIRE_CPU_IMAGE or, for a GPU,
            FRAMEWIRE_GPU_IMAGE names, else ``framewire-cpu`` or ``framewire``.
        repository: model repository on this machine, mounted read-only; others must be able to
            read it. None serves the demo pipeline that the image holds.
        pipelines: to wait for; None for all in the repository.
        gpu: whether the container gets all GPUs of the machine.
        shm_bytes: size of ``/dev/shm``; None for what ``framewire deploy`` says of the repository.
        memory_bytes: beyond which the container is killed, ``/dev/shm`` and swap included; None
            likewise, and no limit for the demo pipeline.
        tls: serves gRPC with TLS.
        admin_key: for what is restricted; None makes one.
        serve_options: more options of ``framewire serve``.
        grpc_port: on this machine; None takes a free one.
        publish_on: address of Docker's machine for the ports. Tests that run in a container beside
            this one need another than loopback; testcontainers then finds the way.
        timeout_s: until the pipelines must be ready.
        **docker_options: of the container, as docker-py's ``containers.run`` names them.

    Raises:
        ContainersUnavailableError: on creation, when no Docker daemon answers; from :meth:`start`,
            when the image cannot be had.
        RepositoryError: on creation, when there are no pipelines in ``repository``, or the
            container could not read them.
        ContainerFailedError: from :meth:`start`, when the container ended or was not ready in
            time, with the last lines of its log; or when it does not serve one of ``pipelines``.
    """

    def __init__(
        self,
        image: str | None = None,
        *,
        repository: str | Path | None = None,
        pipelines: Sequence[str] | None = None,
        gpu: bool = False,
        shm_bytes: int | None = None,
        memory_bytes: int | None = None,
        tls: TlsFiles | None = None,
        admin_key: str | None = None,
        serve_options: Sequence[str] = (),
        grpc_port: int | None = None,
        publish_on: str = LOOPBACK,
        timeout_s: float | None = None,
        **docker_options: Any,
    ) -> None:
        mounted = None if repository is None else readable_folder(Path(repository).resolve())
        self.pipelines = tuple(pipelines or _pipelines(mounted))
        self.admin_key = admin_key or secrets.token_hex(32)
        self._tls = tls
        self._tls_copies: TemporaryDirectory[str] | None = None
        self._publish_on = publish_on
        self._timeout_s = timeout_s or (GPU_READY_TIMEOUT_S if gpu else _ready_timeout_s(mounted))
        docker_options |= container_limits(mounted, shm_bytes, memory_bytes)
        if gpu:
            docker_options["device_requests"] = [DeviceRequest(count=-1, capabilities=[["gpu"]])]
        image = image or default_image(gpu)
        with told_by_docker(image):
            super().__init__(image, **docker_options)
        # docker-py takes an address with a port, which testcontainers has no method for.
        published: dict[str, Any] = {
            f"{port}/tcp": (publish_on, grpc_port if purpose == "grpc" else None)
            for purpose, port in PORTS.items()
        }
        self.ports.update(published)
        self.with_env(ADMIN_KEY_VARIABLE, self.admin_key)
        self.with_command([*(tls.serve_options() if tls else ()), *serve_options])
        if mounted is not None:
            self.with_volume_mapping(str(mounted), REPOSITORY_IN_CONTAINER, "ro")

    @property
    def host(self) -> str:
        """Address at which this process reaches the container."""
        return LOOPBACK if self._publish_on == LOOPBACK else self.get_container_host_ip()

    def port(self, purpose: str) -> int:
        """Return the port on :attr:`host` of ``grpc``, ``http`` or ``metrics``."""
        port = PORTS[purpose]
        if self._publish_on == LOOPBACK:
            return int(self.get_docker_client().port(self.get_wrapped_container().id, port))
        return int(self.get_exposed_port(port))

    @property
    def url(self) -> str:
        """Address of the gRPC endpoint, as :class:`thin_client.Detector` takes it."""
        return f"{'grpcs://' if self._tls else ''}{self.host}:{self.port('grpc')}"

    @property
    def http_url(self) -> str:
        """Address of the HTTP endpoint, without a path."""
        return f"http://{self.host}:{self.port('http')}"

    @property
    def metrics_url(self) -> str:
        """Address of the Prometheus metrics."""
        return f"http://{self.host}:{self.port('metrics')}/metrics"

    @property
    def admin_headers(self) -> dict[str, str]:
        """HTTP headers that open what is restricted."""
        return {HTTP_ADMIN_HEADER: self.admin_key}

    @property
    def admin_metadata(self) -> dict[str, str]:
        """The same as gRPC metadata."""
        return {GRPC_ADMIN_HEADER: self.admin_key}

    @property
    def logs(self) -> str:
        """What the server has printed so far."""
        return str(self.get_wrapped_container().logs().decode(errors="replace"))

    def detector(
        self,
        model: str | None = None,
        *,
        root_certificates: str | Path | None = None,
        private_key: str | Path | None = None,
        certificate_chain: str | Path | None = None,
        headers: Mapping[str, str] | None = None,
        **options: Any,
    ) -> Detector:
        """Return a client of a pipeline.

        Args:
            model: the pipeline; None takes the only one.
            root_certificates: PEM file that vouches for the server, with TLS.
            private_key: PEM file with the client's key, with mutual TLS.
            certificate_chain: PEM file with its certificates, likewise.
            headers: gRPC metadata of every call, such as :attr:`admin_metadata`.
            **options: see :class:`thin_client.Detector`.
        """
        if model is None and len(self.pipelines) == 1:
            (model,) = self.pipelines
        connection = Connection(
            self.url,
            root_certificates=root_certificates,
            private_key=private_key,
            certificate_chain=certificate_chain,
            headers=headers or {},
        )
        return Detector(connection, model, **options)

    def start(self) -> Self:
        """Start the container and wait until its pipelines are ready."""
        try:
            if self._tls is not None:
                self._tls_copies, folder = self._tls.copy_to_mount()
                self.with_volume_mapping(str(folder), TLS_FOLDER, "ro")
            with told_by_docker(self.image):
                super().start()
            self._wait_until_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def terminate(self, timeout_s: int = STOP_TIMEOUT_S) -> int:
        """Stop the server as ``docker stop`` does; the container and its log stay.

        Args:
            timeout_s: from SIGTERM to SIGKILL.

        Returns:
            The exit code: 0 when it stopped by itself, 137 when it had to be killed.
        """
        container = self.get_wrapped_container()
        container.stop(timeout=timeout_s)
        return int(container.wait()["StatusCode"])

    def stop(self, force: bool = True, delete_volume: bool = True) -> None:
        """Remove the container, whatever it does; a second time does nothing."""
        try:
            super().stop(force, delete_volume)
        finally:
            self._container = None
            if self._tls_copies is not None:
                self._tls_copies.cleanup()

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + self._timeout_s
        container = self.get_wrapped_container()
        waits_for = "it does not run yet"
        while True:
            container.reload()
            if container.status in {"exited", "dead"}:
                raise ContainerFailedError(death_sentence(self.image, container))
            try:
                check_ready(self.pipelines, self.host, self.port("http"))
                check_metrics(self.host, self.port("metrics"))
            except ServerNotReadyError as error:
                if why := not_served(self.logs, self.pipelines):
                    raise ContainerFailedError(
                        f"the container of {self.image} goes without what it was started for: {why}"
                    ) from error
                waits_for = str(error)
            except NOT_RUNNING:
                pass  # the next look says why
            else:
                return
            if time.monotonic() > deadline:
                raise ContainerFailedError(
                    f"the container of {self.image} was not ready after {self._timeout_s:g} s "
                    f"({waits_for}): give it more time with timeout_s, or mend what its log "
                    f"ends with:\n{last_lines(container)}"
                )
            time.sleep(LOOK_S)


def _ready_timeout_s(repository: Path | None) -> int:
    return LEAST_WAIT_S if repository is None else longest_wait(repository)


def _pipelines(repository: Path | None) -> tuple[str, ...]:
    return (DEMO_PIPELINE,) if repository is None else pipelines_by_manifest(repository)
