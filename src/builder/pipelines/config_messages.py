"""Triton's ModelConfig messages, ``pb``, without the gRPC client that they come with.

``tritonclient.grpc`` imports gRPC, numpy and a client, of which ``framewire serve`` has no use: it
reads configs and asks its Triton over HTTP. It would hold 40 MB of them for as long as it serves.
The messages are one file of that package and need nothing but protobuf.
"""

from __future__ import annotations

import importlib
import sys
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

__all__ = ["pb"]

CLIENT = "tritonclient"
MESSAGES = f"{CLIENT}.grpc.model_config_pb2"


def _messages() -> ModuleType:
    """Return the module, under its own name: whoever imports the client later gets this one.

    Raises:
        ModuleNotFoundError: tritonclient is not installed.
    """
    if loaded := sys.modules.get(MESSAGES):
        return loaded
    client = find_spec(CLIENT)
    for folder in (client.submodule_search_locations or ()) if client else ():
        spec = spec_from_file_location(MESSAGES, Path(folder) / "grpc" / "model_config_pb2.py")
        if spec is None or spec.loader is None:
            continue
        module = module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
        except FileNotFoundError:
            continue
        sys.modules[MESSAGES] = module
        return module
    # As it would be anywhere else, with the message for what is missing.
    return importlib.import_module(MESSAGES)


if TYPE_CHECKING:
    from tritonclient.grpc import model_config_pb2 as pb
else:
    pb = _messages()
