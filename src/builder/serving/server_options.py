"""How to serve a model repository, checked before anything is started."""

from __future__ import annotations

import enum
import os
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from builder.errors import (
    EmbeddedUnavailableError,
    InvalidPipelineError,
    RepositoryError,
    SettingsError,
)
from builder.pipelines.config_files import CONFIG_FILE, parse_config
from builder.pipelines.load_waits import longest_wait
from builder.pipelines.pipeline_models import all_names, wanted_models
from builder.serving.access import Access
from builder.serving.ports import check_free
from builder.serving.shared_memory import SHM_DEFAULT_BYTES, SHM_GROWTH_BYTES
from builder.serving.tracing import Tracing
from thin_client.contract import model_names

# Where commands look for pipelines that are not told where.
REPOSITORY = Path("model_repository")
LOOPBACK = "127.0.0.1"
# Triton's Python backend starts its stubs through a shell and quotes nothing.
SHELL_SAFE = re.compile(r"[A-Za-z0-9/._-]+")
# What the networks of --runtime tensorrt and onnxruntime are to Triton.
CONTAINER_PLATFORMS = ("tensorrt_plan", "onnxruntime_onnx")
# Triton gives requests in flight this long when it is told to stop.
DRAIN_S = 30
# A client asks which servers a name has when it connects, and so would never find those that were
# added later. Its connections end when they are this old and their requests are answered, and it
# asks again; gRPC varies the time by a tenth, so that not all do at once.
CONNECTION_AGE_S = 600

# glibc may return the pages of a decoded frame to the kernel and fault them in again for the next
# (docs/performance.md). These make it keep what frames up to 8K need, and still give back what a
# single huge picture took. An arena for each core, not eight, and no thread keeps small blocks for
# itself (tcache): the hundreds of threads of Triton would fill all there are, over hours.
ALLOCATOR = {
    "MALLOC_MMAP_THRESHOLD_": str(128 * 2**20),
    "MALLOC_TRIM_THRESHOLD_": str(256 * 2**20),
    "MALLOC_TOP_PAD_": str(64 * 2**20),
    "MALLOC_ARENA_MAX": str(max(2, len(os.sched_getaffinity(0)))),
    "GLIBC_TUNABLES": "glibc.malloc.tcache_count=0",
}
# One frame, one thread: the served models bring their own threads, one for each core.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


# How often a server in poll mode looks for changes; Triton's own default.
POLL_S = 15


class ModelControl(str, enum.Enum):
    """How a running server learns of a new version; the values are Triton's."""

    NONE = "none"
    """Not at all: it serves what was there when it started."""
    POLL = "poll"
    """It looks for changes every few seconds."""
    EXPLICIT = "explicit"
    """It is told, by `framewire load`."""


@dataclass(frozen=True)
class ServerOptions:
    """How to serve a model repository.

    Attributes:
        repository: the Triton model repository.
        address: to listen on; anything but loopback exposes a Triton with known holes.
        grpc_port: of the KServe v2 gRPC endpoint.
        http_port: of the HTTP endpoint.
        metrics_port: of the Prometheus metrics.
        verbose: whether to pass all of Triton's log through, not only warnings and errors.
        control: how it learns of new versions.
        poll_s: seconds between two looks at the repository, where it polls.
        access: who may call what; everybody and everything when not given.
        tracing: where traces of requests go; None makes none.
        triton: the ``tritonserver`` to run; None runs the embedded one.
        exit_on_error: whether one model that does not load ends it, as Triton's option of that name
            says; else it serves the others.
        left_out: why pipelines, and models of nobody's pipeline, are not handed to Triton, by their
            names.
        tuned: whether its processes get :data:`ALLOCATOR` and :data:`ONE_THREAD`; benchmarks of
            other people's models leave them out.

    Raises:
        SettingsError: on creation, when ``poll_s`` is less than a second.
    """

    repository: Path
    address: str = LOOPBACK
    grpc_port: int = 8001
    http_port: int = 8000
    metrics_port: int = 8002
    verbose: bool = False
    control: ModelControl = ModelControl.NONE
    poll_s: int = POLL_S
    access: Access = field(default_factory=Access)
    tracing: Tracing | None = None
    triton: Path | None = None
    exit_on_error: bool = True
    left_out: Mapping[str, str] = field(default_factory=dict)
    tuned: bool = True

    def __post_init__(self) -> None:
        """Check what Triton would take and not do."""
        if self.poll_s < 1:
            raise SettingsError(f"--poll-seconds must be at least 1, got {self.poll_s}")

    @property
    def tuning(self) -> dict[str, str]:
        """Environment variables that the server gets where nobody has set them already."""
        return {**ALLOCATOR, **ONE_THREAD} if self.tuned else {}

    @property
    def ports(self) -> dict[str, int]:
        """The ports by what they serve."""
        return {"grpc": self.grpc_port, "http": self.http_port, "metrics": self.metrics_port}

    def ready_line(self, models: Sequence[str], missing: Iterable[str] = ()) -> str:
        """Return what is said of a server that is ready.

        Args:
            models: that it has loaded.
            missing: names of pipelines, and of models of nobody's pipeline, that it has not.
        """
        others = ", ".join(sorted(missing))
        return (
            f"ready: {', '.join(models)} on gRPC {self.address}:{self.grpc_port}, "
            f"HTTP {self.http_port}, metrics {self.metrics_port}"
            + (f"; not served: {others}" if others else "")
        )

    @property
    def local_address(self) -> str:
        """Where a client on this machine reaches it."""
        every_address = {"0.0.0.0", "::"}  # noqa: S104 - compared, not bound
        return LOOPBACK if self.address in every_address else self.address


def triton_arguments(
    options: ServerOptions, repository: Path, backend_directory: Path, shm_prefix: str
) -> list[str]:
    """Return Triton's command line; every setting is explained where it is not plain.

    Args:
        options: addresses and ports.
        repository: path of the model repository that a shell takes as it is.
        backend_directory: likewise, with the Python backend and its stub.
        shm_prefix: of the names of shared-memory regions.
    """
    return [
        f"--model-repository={repository}",
        f"--backend-directory={backend_directory}",
        f"--grpc-address={options.address}",
        f"--grpc-port={options.grpc_port}",
        f"--http-address={options.address}",
        f"--http-port={options.http_port}",
        f"--metrics-address={options.address}",
        f"--metrics-port={options.metrics_port}",
        # The configs are complete: completing them would start every stub twice.
        "--disable-auto-complete-config",
        f"--exit-timeout-secs={DRAIN_S}",
        f"--backend-config=python,shm-default-byte-size={SHM_DEFAULT_BYTES}",
        f"--backend-config=python,shm-growth-byte-size={SHM_GROWTH_BYTES}",
        # Triton's 30 s are not enough for the process of a model where many start on few cores, and
        # the Triton of the wheel may crash when it gives one up.
        f"--backend-config=python,stub-timeout-seconds={longest_wait(options.repository)}",
        # A name of our own, so that we can remove what a crashed stub leaves and nothing else.
        f"--backend-config=python,shm-region-prefix-name={shm_prefix}",
        # Clients keep idle connections alive; Triton's default calls that abuse and hangs up.
        "--grpc-keepalive-permit-without-calls=true",
        "--grpc-http2-min-recv-ping-interval-without-data=5000",
        # In-flight requests are still answered: the grace has no end unless one is set.
        f"--grpc-max-connection-age={CONNECTION_AGE_S * 1000}",
        f"--exit-on-error={str(options.exit_on_error).lower()}",
        *_control_arguments(options),
        *options.access.triton_arguments(),
        *(options.tracing.triton_arguments() if options.tracing else ()),
    ]


def _control_arguments(options: ServerOptions) -> list[str]:
    arguments = [f"--model-control-mode={options.control.value}"]
    if options.control is ModelControl.POLL:
        arguments.append(f"--repository-poll-secs={options.poll_s}")
    if options.control is ModelControl.EXPLICIT:
        names = served_models(options) if options.left_out else ("*",)
        arguments += [f"--load-model={name}" for name in names]
    return arguments


def served_models(options: ServerOptions) -> tuple[str, ...]:
    """Return the models of a repository that are handed to Triton, without what is left out."""
    repository, left_out = options.repository, options.left_out
    ours = {model for name in left_out for model in wanted_models(repository, name)}
    there = (file.parent.name for file in repository.glob(f"*/{CONFIG_FILE}"))
    return tuple(sorted(name for name in there if name not in {*left_out, *ours}))


def check_repository(repository: Path) -> None:
    """Check that there is something to serve.

    Raises:
        RepositoryError: there is no such folder, or no model in it.
    """
    if not repository.is_dir():
        raise RepositoryError(
            f"there is no model repository {repository}: make one with `framewire build MODEL.onnx "
            f"--name NAME --repository {shlex.quote(str(repository))}`"
        )
    if not any(repository.glob("*/config.pbtxt")):
        raise RepositoryError(
            f"{repository} holds no models: make some with `framewire build MODEL.onnx "
            f"--name NAME --repository {shlex.quote(str(repository))}`"
        )
    for model in repository.iterdir():
        # Triton puts the name into a shell command, unquoted.
        if model.is_dir() and not SHELL_SAFE.fullmatch(model.name):
            raise RepositoryError(
                f"the folder {model.name!r} in {repository} cannot be a model: rename it to "
                "letters, digits, '.', '_' and '-'"
            )


def check_backends(repository: Path) -> None:
    """Check that the embedded Triton has what runs every network.

    Raises:
        EmbeddedUnavailableError: a network was built for a backend of NVIDIA's container.
    """
    for error in without_backend(repository).values():
        raise error


def without_backend(repository: Path) -> dict[str, EmbeddedUnavailableError]:
    """Return why the embedded Triton cannot serve pipelines and other models, by their names."""
    pipeline = {model_names(name).network: name for name in all_names(repository)}
    found = {}
    for file in sorted(repository.glob(f"*/{CONFIG_FILE}")):
        try:
            platform = parse_config(file).platform
        except InvalidPipelineError:
            continue  # servable says what is wrong with it
        if platform in CONTAINER_PLATFORMS:
            model = file.parent.name
            found[pipeline.get(model, model)] = EmbeddedUnavailableError(
                f"{model} is a {platform}, for which the embedded Triton has no "
                "backend: serve it in NVIDIA's container, or build the pipeline with --runtime "
                "python"
            )
    return found


def check_ports(options: ServerOptions) -> None:
    """Check that the ports differ and that nobody else has them.

    Raises:
        PortTakenError: naming the port and the option that chooses another.
    """
    check_free(options.address, options.ports)
