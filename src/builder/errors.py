"""The builder's exceptions; each message says what failed, what was found and how to mend it.

::

    BuilderError
    ├── SettingsError            a build setting is out of range
    ├── ModelFileError           the detector's file cannot be read
    ├── UnknownHeadError         no known detector family has outputs like these
    ├── LabelsError              class names are missing or of the wrong number
    ├── RepositoryError
    │   ├── PipelineExistsError  a build would overwrite a pipeline
    │   ├── RepositoryBusyError  another process is changing the repository
    │   └── InvalidPipelineError a generated pipeline contradicts itself
    ├── PrecisionError           a network in less than float32 is slower, or cannot be made
    ├── PlanError                a TensorRT plan cannot be made, or does not fit
    │   └── TrtexecError         TensorRT's compiler is missing or failed
    ├── CheckError               a pipeline or a network did not pass a check
    ├── TensorRtMissingError     the compiler for machines without a GPU is not installed
    ├── GatewayMissingError      what the gateway is made of is not installed
    ├── DemoError                the demo's input or its client failed
    ├── BenchmarkError           a pipeline cannot be measured
    │   ├── PerfAnalyzerMissingError  Triton's load generator is not here, or does not run
    │   ├── ModelAnalyzerMissingError Triton's Model Analyzer is not here
    │   └── TuningError          no settings were found that can be recommended
    ├── VerificationError        a pipeline cannot be compared with its detector
    │   └── AccuracyLostError    it finds less than its detector does
    └── ServerError
        ├── EmbeddedUnavailableError  the embedded Triton cannot run on this machine
        ├── TritonNotFoundError       no Triton is installed where one was said to be
        ├── PortTakenError            another program listens on the port
        ├── ServerDiedError           Triton ended by itself
        │   └── ServerKilledError     by a signal, another's or its own
        ├── ServerNotReadyError       Triton does not answer, or not every model is ready
        ├── VersionNotLoadedError     a running Triton refused a new version
        ├── ContainersUnavailableError  no containers can be started here
        └── ContainerFailedError      a container ended, or was not ready in time
"""

from thin_client.redaction import without_secrets

__all__ = [
    "AccuracyLostError",
    "BenchmarkError",
    "BuilderError",
    "CheckError",
    "ContainerFailedError",
    "ContainersUnavailableError",
    "DemoError",
    "EmbeddedUnavailableError",
    "GatewayMissingError",
    "InvalidPipelineError",
    "LabelsError",
    "ModelAnalyzerMissingError",
    "ModelFileError",
    "PerfAnalyzerMissingError",
    "PipelineExistsError",
    "PlanError",
    "PortTakenError",
    "PrecisionError",
    "RepositoryBusyError",
    "RepositoryError",
    "ServerDiedError",
    "ServerError",
    "ServerKilledError",
    "ServerNotReadyError",
    "SettingsError",
    "TensorRtMissingError",
    "TritonNotFoundError",
    "TrtexecError",
    "TuningError",
    "UnknownHeadError",
    "VerificationError",
    "VersionNotLoadedError",
]


class BuilderError(Exception):
    """Base of every error the builder raises on purpose; shows no passwords of addresses."""

    def __init__(self, *details: object) -> None:
        super().__init__(
            *(without_secrets(each) if isinstance(each, str) else each for each in details)
        )


class SettingsError(BuilderError):
    """A build setting is out of range."""


class ModelFileError(BuilderError):
    """The detector's file is missing, damaged or not a detector."""


class UnknownHeadError(BuilderError):
    """No known detector family has outputs of these shapes."""


class LabelsError(BuilderError):
    """Class names are missing, unreadable or not as many as classes."""


class RepositoryError(BuilderError):
    """The model repository cannot be written or is not one."""


class PipelineExistsError(RepositoryError):
    """A build would overwrite models that are already there."""


class RepositoryBusyError(RepositoryError):
    """Another process is changing the repository."""


class InvalidPipelineError(RepositoryError):
    """A generated pipeline contradicts itself; nothing was published."""


class PrecisionError(BuilderError):
    """A network in less than float32 is no faster on this machine, or cannot be made or run."""


class PlanError(BuilderError):
    """A TensorRT plan cannot be made, or does not fit the GPU, TensorRT or the network."""


class TrtexecError(PlanError):
    """TensorRT's compiler is missing, failed or was stopped."""


class CheckError(BuilderError):
    """A pipeline or a network did not pass a check; what is wrong has been printed."""


class TensorRtMissingError(BuilderError):
    """The compiler that needs no GPU, tensorrt-rtx, is not installed."""


class GatewayMissingError(BuilderError):
    """What the gateway is made of (the extra ``gateway``) is not installed."""


class DemoError(BuilderError):
    """The demo cannot read its image, or the client could not reach the pipeline."""


class BenchmarkError(BuilderError):
    """A pipeline cannot be measured, or a measurement failed."""


class PerfAnalyzerMissingError(BenchmarkError):
    """Triton's load generator is not on this machine, or lacks libraries."""


class ModelAnalyzerMissingError(BenchmarkError):
    """Triton's Model Analyzer is not on this machine."""


class TuningError(BenchmarkError):
    """A pipeline's settings cannot be searched, or none of them keeps the bound."""


class VerificationError(BuilderError):
    """A pipeline cannot be compared with its detector; nothing is known about it."""


class AccuracyLostError(VerificationError):
    """A pipeline finds less than its detector does, by more than is allowed."""


class ServerError(BuilderError):
    """Triton could not be started or did not stay up."""


class EmbeddedUnavailableError(ServerError):
    """The embedded Triton cannot run on this machine."""


class TritonNotFoundError(ServerError):
    """There is no installed Triton where one was said to be."""


class PortTakenError(ServerError):
    """Another program listens on a port that the server needs."""


class ServerDiedError(ServerError):
    """Triton ended by itself."""


class ServerKilledError(ServerDiedError):
    """A signal ended Triton: somebody sent it, or Triton itself, where it has no other way out."""


class ServerNotReadyError(ServerError):
    """Triton does not answer, or not every model became ready in time."""


class VersionNotLoadedError(ServerError):
    """A running Triton refused a new version of a pipeline and keeps the old one."""


class ContainersUnavailableError(ServerError, ImportError):
    """testcontainers, Docker or an image is missing; raised by an import, an ImportError too."""


class ContainerFailedError(ServerError):
    """A container ended by itself, or its pipelines were not ready in time."""
