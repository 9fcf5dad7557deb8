"""The builder's exceptions; each message says what failed, what was found and how to mend it.

::

    BuilderError
    ├── SettingsError            a build setting is out of range
    ├── ModelFileError           the detector's file cannot be read
    ├── UnknownHeadError         no known detector family has outputs like these
    ├── RepositoryError
    │   ├── PipelineExistsError  a build would overwrite a pipeline
    │   └── InvalidPipelineError a generated pipeline contradicts itself
    ├── DemoError                the demo's input or its client failed
    └── ServerError
        ├── EmbeddedUnavailableError  the embedded Triton cannot run on this machine
        ├── PortTakenError            another program listens on the port
        ├── ServerDiedError           Triton ended by itself
        └── ServerNotReadyError       Triton runs, but not every model is ready
"""

__all__ = [
    "BuilderError",
    "DemoError",
    "EmbeddedUnavailableError",
    "InvalidPipelineError",
    "ModelFileError",
    "PipelineExistsError",
    "PortTakenError",
    "RepositoryError",
    "ServerDiedError",
    "ServerError",
    "ServerNotReadyError",
    "SettingsError",
    "UnknownHeadError",
]


class BuilderError(Exception):
    """Base of every error the builder raises on purpose."""


class SettingsError(BuilderError):
    """A build setting is out of range."""


class ModelFileError(BuilderError):
    """The detector's file is missing, damaged or not a detector."""


class UnknownHeadError(BuilderError):
    """No known detector family has outputs of these shapes."""


class RepositoryError(BuilderError):
    """The model repository cannot be written or is not one."""


class PipelineExistsError(RepositoryError):
    """A build would overwrite models that are already there."""


class InvalidPipelineError(RepositoryError):
    """A generated pipeline contradicts itself; nothing was published."""


class DemoError(BuilderError):
    """The demo cannot read its image, or the client could not reach the pipeline."""


class ServerError(BuilderError):
    """Triton could not be started or did not stay up."""


class EmbeddedUnavailableError(ServerError):
    """The embedded Triton cannot run on this machine."""


class PortTakenError(ServerError):
    """Another program listens on a port that the server needs."""


class ServerDiedError(ServerError):
    """Triton ended by itself."""


class ServerNotReadyError(ServerError):
    """Triton runs, but not every model became ready in time."""
