"""What a running Triton says of the versions of its models."""

from __future__ import annotations

from collections.abc import Mapping

# The state of every version of every model, in the words of Triton's repository index.
VersionStates = Mapping[str, Mapping[int, str]]
# Those in which a version still has work.
AT_WORK = frozenset({"READY", "LOADING", "UNLOADING"})
