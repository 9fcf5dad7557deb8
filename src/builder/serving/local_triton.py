"""What the program that started a Triton asks it, over HTTP on this machine.

HTTP, because it needs no certificates where gRPC is served with TLS.
"""

from __future__ import annotations

import http.client
import json
import time
from typing import Any

from builder.serving.running_server import AT_WORK, VersionStates
from builder.serving.server_options import ServerOptions

ANSWER_S = 10
LOOK_S = 0.05


class LocalTriton:
    """The HTTP endpoint of a Triton that this process started.

    Args:
        options: it was started with.
    """

    def __init__(self, options: ServerOptions) -> None:
        self._address = options.local_address
        self._port = options.http_port
        self._headers = options.access.http_headers

    def model_states(self) -> VersionStates:
        """Return the state of every version of every model, or nothing while it does not answer."""
        states: dict[str, dict[int, str]] = {}
        for model in self._ask("POST", "/v2/repository/index") or ():
            # A model that never loaded has no version.
            version = int(model.get("version", 0))
            states.setdefault(model["name"], {})[version] = model.get("state", "")
        return states

    def version(self) -> str | None:
        """Return Triton's version, as ``2.51.0``; None when it does not say."""
        metadata = self._ask("GET", "/v2")
        return metadata.get("version") if isinstance(metadata, dict) else None

    def model_instances(self, model: str, version: int) -> int:
        """Return how many instances a version of a model is to have, 0 if it does not answer."""
        config = self._ask("GET", f"/v2/models/{model}/versions/{version}/config") or {}
        return sum(int(group.get("count", 1)) for group in config.get("instance_group", ()))

    def unload(self, models: tuple[str, ...], timeout_s: float) -> bool:
        """Have models take no more requests; wait until those they have are answered.

        Args:
            models: Triton's names of them; others that they call stay loaded.
            timeout_s: for all of it.

        Returns:
            Whether all of them were done in time.
        """
        deadline = time.monotonic() + timeout_s
        for model in models:
            left_s = max(deadline - time.monotonic(), 1)
            self._ask("POST", f"/v2/repository/models/{model}/unload", min(ANSWER_S, left_s))
        while time.monotonic() < deadline:
            states = self.model_states()
            at_work = [model for model in models if AT_WORK & set(states.get(model, {}).values())]
            if not at_work:
                return bool(states)
            time.sleep(LOOK_S)
        return False

    def _ask(self, method: str, path: str, timeout_s: float = ANSWER_S) -> Any:
        """Return the JSON of an answer; None when there is none, or it is a refusal."""
        connection = http.client.HTTPConnection(self._address, self._port, timeout=timeout_s)
        try:
            # A body, if an empty one: Triton waits for the body of every POST.
            body = b"" if method == "POST" else None
            connection.request(method, path, body=body, headers=self._headers)
            answer = connection.getresponse()
            text = answer.read()
            return json.loads(text) if answer.status == http.client.OK and text else None
        except (OSError, http.client.HTTPException, ValueError):
            return None
        finally:
            connection.close()
