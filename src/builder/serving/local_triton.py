"""What the program that started a Triton asks it, over HTTP on this machine.

HTTP, because it needs no certificates where gRPC is served with TLS.
"""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from builder.serving.server_options import ServerOptions
from builder.serving.version_states import AT_WORK, VersionStates

ANSWER_S = 10
LOOK_S = 0.05
READY = "READY"
HEADER_LENGTH = "Inference-Header-Content-Length"


@dataclass(frozen=True)
class Work:
    """What a model has done since it was loaded.

    Attributes:
        answered: requests.
        failed: requests, those that were refused or cancelled among them.
        executions: times that it ran, for one request or for several.
        versions: that are loaded.
    """

    answered: int = 0
    failed: int = 0
    executions: int = 0
    versions: frozenset[int] = frozenset()

    @property
    def ended(self) -> int:
        """Requests that were answered in whatever way."""
        return self.answered + self.failed


class LocalTriton:
    """The HTTP endpoint of a Triton that this process started.

    Args:
        options: it was started with.
    """

    def __init__(self, options: ServerOptions) -> None:
        self._address = options.local_address
        self._port = options.http_port
        self._headers = options.access.http_headers

    def model_states(self, timeout_s: float = ANSWER_S) -> VersionStates:
        """Return the state of every version of every model, or nothing while it does not answer."""
        states: dict[str, dict[int, str]] = {}
        for model in self._ask("POST", "/v2/repository/index", timeout_s) or ():
            # A model that never loaded has no version.
            version = int(model.get("version", 0))
            states.setdefault(model["name"], {})[version] = model.get("state", "")
        return states

    def model_reasons(self, timeout_s: float = ANSWER_S) -> dict[str, str]:
        """Return why models are not loaded, by their names, as far as Triton knows."""
        index = self._ask("POST", "/v2/repository/index", timeout_s) or ()
        return {
            model["name"]: model["reason"]
            for model in index
            if model.get("reason") and model.get("state") != READY
        }

    def version(self) -> str | None:
        """Return Triton's version, as ``2.51.0``; None when it does not say."""
        metadata = self._ask("GET", "/v2")
        return metadata.get("version") if isinstance(metadata, dict) else None

    def model_instances(self, model: str, version: int, timeout_s: float = ANSWER_S) -> int | None:
        """Return how many instances a version of a model is to have, None if it does not answer."""
        config = self._ask("GET", f"/v2/models/{model}/versions/{version}/config", timeout_s)
        if config is None:
            return None
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

    def work(self, timeout_s: float = ANSWER_S) -> Mapping[str, Work] | None:
        """Return what every loaded model has done, or None where there is no answer in time."""
        answer = self._ask("GET", "/v2/models/stats", timeout_s)
        if answer is None:
            return None
        done: dict[str, Work] = {}
        for each in answer.get("model_stats", ()):
            before = done.get(each["name"], Work())
            counts = each.get("inference_stats", {})
            done[each["name"]] = Work(
                before.answered + int(counts.get("success", {}).get("count", 0)),
                before.failed + int(counts.get("fail", {}).get("count", 0)),
                before.executions + int(each.get("execution_count", 0)),
                before.versions | {int(each["version"])},
            )
        return done

    def infer(
        self, model: str, header: Mapping[str, Any], data: bytes, timeout_s: float
    ) -> tuple[int, bytes] | None:
        """Send a request; see "Binary Tensor Data Extension" in Triton's documentation.

        Args:
            model: Triton's name of it.
            header: of the request, as JSON.
            data: of its binary tensors.
            timeout_s: for each step of it.

        Returns:
            HTTP status and body, or None where there was no answer.
        """
        text = json.dumps(header).encode()
        return self._exchange(
            "POST",
            f"/v2/models/{model}/infer",
            text + data,
            {HEADER_LENGTH: str(len(text))},
            timeout_s,
        )

    def _ask(self, method: str, path: str, timeout_s: float = ANSWER_S) -> Any:
        """Return the JSON of an answer; None when there is none, or it is a refusal."""
        # A body, if an empty one: Triton waits for the body of every POST.
        reply = self._exchange(method, path, b"" if method == "POST" else None, {}, timeout_s)
        if reply is None or reply[0] != http.client.OK:
            return None
        try:
            return json.loads(reply[1])
        except ValueError:
            return None

    def _exchange(
        self,
        method: str,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str],
        timeout_s: float,
    ) -> tuple[int, bytes] | None:
        connection = http.client.HTTPConnection(self._address, self._port, timeout=timeout_s)
        try:
            connection.request(method, path, body=body, headers={**self._headers, **headers})
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()
