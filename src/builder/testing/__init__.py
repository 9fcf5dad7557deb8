"""Pipelines in real containers, for tests: Framewire's own, and those of programs that use it.

Needs Docker and the extra ``testing``, which brings testcontainers. docs/testing.md explains it.

Raises:
    ContainersUnavailableError: on import, where testcontainers is not installed. It is an
        ImportError too, so ``pytest.importorskip`` knows it.
"""

from builder.errors import ContainersUnavailableError

try:
    import testcontainers.core.container  # noqa: F401 - whether it is there
except ImportError as error:
    raise ContainersUnavailableError(
        f"builder.testing cannot start containers ({error}): install testcontainers with "
        "`pip install 'framewire[testing]'`"
    ) from error

from builder.testing.container import FramewireContainer
from builder.testing.tls import TlsFiles

__all__ = ["FramewireContainer", "TlsFiles"]
