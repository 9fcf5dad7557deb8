"""What a client knows of a pipeline, version by version.

A server is given new versions, and goes back to old ones, while clients are connected. Another
version may have other labels, or the same in another order, and other limits. Every answer bears
the number of the version that gave it (``model_version``), and nothing of it is read but with the
config of that version.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any

from thin_client.pipeline import Pipeline

__all__ = ["Versions"]

# Servers behind one address have two while they change, one after the other.
MOST_KNOWN = 8


class Versions:
    """The versions of one pipeline whose configs have been read; safe between threads.

    Args:
        pipeline: the version that was read first.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[str, Pipeline] = OrderedDict({pipeline.version: pipeline})
        self._latest = pipeline
        self._in_doubt = False

    @property
    def latest(self) -> Pipeline:
        """The version that answered last, or was read since."""
        return self._latest

    def of(self, response: Any) -> Pipeline | None:
        """Return the version that a ``ModelInferResponse`` is from; None where it is not known.

        Where the config names no version, as one may that was written by hand, all are taken for
        the same.
        """
        number = response.model_version
        # Without the lock: nearly always it is the version of the answer before.
        latest = self._latest
        if not self._in_doubt and (number in {"", latest.version} or not latest.version):
            return latest
        with self._lock:
            found = None if self._in_doubt else self._known.get(number)
            if found is not None:
                self._latest = found
            return found

    def learn(self, pipeline: Pipeline) -> Pipeline:
        """Take what a config says that was read just now, and return it."""
        with self._lock:
            if self._in_doubt:
                self._known.clear()
                self._in_doubt = False
            self._known[pipeline.version] = pipeline
            self._known.move_to_end(pipeline.version)
            while len(self._known) > MOST_KNOWN:
                self._known.popitem(last=False)
            self._latest = pipeline
        return pipeline

    def doubt(self) -> None:
        """Believe nothing until a config has been read again: the server was away.

        It may have been exchanged for another, whose versions bear the same numbers.
        """
        with self._lock:
            self._in_doubt = True
