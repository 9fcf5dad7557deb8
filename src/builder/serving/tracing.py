"""OpenTelemetry traces of requests, sent to a collector by Triton itself."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from builder.errors import SettingsError
from thin_client.redaction import shown_address

SERVICE_NAME = "framewire"


@dataclass(frozen=True)
class Tracing:
    """Where traces go.

    Attributes:
        url: of a collector that takes OTLP over HTTP, as ``http://localhost:4318/v1/traces``. It
            stands on Triton's command line, and without what lets somebody in, in its log.
        rate: one request in so many is traced.

    Raises:
        SettingsError: on creation, when Triton could not use them.
    """

    url: str
    rate: int = 100

    def __post_init__(self) -> None:
        """Check what Triton would only fail with later, and silently."""
        parts = urlsplit(self.url)
        if parts.scheme not in {"http", "https"} or not parts.netloc or "," in self.url:
            raise SettingsError(
                f"--trace-to must be the http:// or https:// address of an OpenTelemetry collector "
                f"(usually http://HOST:4318/v1/traces), got {shown_address(self.url)!r}"
            )
        if self.rate < 1:
            raise SettingsError(f"--trace-rate must be at least 1, got {self.rate}")

    def triton_arguments(self) -> list[str]:
        """Return the options of ``tritonserver``."""
        return [
            "--trace-config=mode=opentelemetry",
            f"--trace-config=rate={self.rate}",
            "--trace-config=level=TIMESTAMPS",
            f"--trace-config=opentelemetry,url={self.url}",
            f"--trace-config=opentelemetry,resource=service.name={SERVICE_NAME}",
        ]
