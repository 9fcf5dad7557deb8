"""What every served Python model here does with Triton's requests and responses."""

from __future__ import annotations

import json
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import triton_python_backend_utils as pb_utils

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from contract import Tensor
    from numpy.typing import NDArray


SETTINGS_FILE = "settings.json"


def version_folder(args: Mapping[str, str]) -> Path:
    """Return the folder of the model's version, from the argument of ``initialize``."""
    return Path(args["model_repository"]) / args["model_version"]


def version_settings(args: Mapping[str, str]) -> dict[str, str]:
    """Return the settings of this version of the model.

    They lie beside the version's code and not in the config: Triton has one config for all versions
    of a model, and while a pipeline is replaced two versions of it answer.
    """
    settings: dict[str, str] = json.loads((version_folder(args) / SETTINGS_FILE).read_text())
    return settings


def input_array(request: Any, tensor: Tensor) -> NDArray[Any]:
    """Return one input of a request; shape ``[n, *tensor.shape]``."""
    array: NDArray[Any] = pb_utils.get_input_tensor_by_name(request, tensor.name).as_numpy()
    return array


def image_bytes(request: Any, tensor: Tensor) -> list[bytes]:
    """Return the images of a request, a file each."""
    return [bytes(image) for image in input_array(request, tensor).reshape(-1)]


def is_late(request: Any, held_s: float) -> bool:
    """Return whether a client waits no longer, as far as a model can know.

    Args:
        request: with the parameter ``timeout``, how long its client waits; without, as long as
            it takes.
        held_s: how long a model has had the request; before, it was under way and in a queue.
    """
    timeout_us: int = request.timeout()
    return 0 < timeout_us < held_s * 1e6


def end_late(requests: Sequence[Any], answers: list[Any], begun: float) -> None:
    """Answer the requests that are late, of those that have no answer yet.

    Args:
        requests: of one call of ``execute``.
        answers: a response, or None, for each.
        begun: when the call did, of ``time.monotonic``.
    """
    held_s = time.monotonic() - begun
    for number, request in enumerate(requests):
        if answers[number] is None and is_late(request, held_s):
            answers[number] = abandoned()


def is_abandoned(request: Any, held_s: float) -> bool:
    """Return whether nobody waits for a request any more: hung up, or late as in :func:`is_late`.

    Triton is asked, which takes some 50 us. It does not know in the first step of an ensemble.
    """
    return is_late(request, held_s) or bool(request.is_cancelled())


def response(arrays: Mapping[Tensor, NDArray[Any]]) -> Any:
    """Return a response that holds one array, with its batch dimension, for each tensor."""
    return pb_utils.InferenceResponse(
        output_tensors=[pb_utils.Tensor(tensor.name, array) for tensor, array in arrays.items()]
    )


def send_last(sender: Any, answer: Any) -> None:
    """Send the only response to a request whose response sender was taken."""
    try:
        sender.send(answer, flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
    except Exception as error:  # noqa: BLE001 - the others have to be answered all the same
        pb_utils.Logger.log_error("".join(traceback.format_exception(error)))


def refusal(sentence: str) -> Any:
    """Return a response that blames the request; gRPC clients see INVALID_ARGUMENT."""
    return _error_response(sentence, pb_utils.TritonError.INVALID_ARG)


def unavailable(sentence: str) -> Any:
    """Return a response that asks the client to try again, here or elsewhere."""
    return _error_response(sentence, pb_utils.TritonError.UNAVAILABLE)


def abandoned() -> Any:
    """Return a response that nobody waits for: the client hung up, or its time was over."""
    return _error_response("nobody waits for this request any more", pb_utils.TritonError.CANCELLED)


def failure(error: BaseException, step: str) -> Any:
    """Return a response that blames the server and log why; no path reaches the client."""
    pb_utils.Logger.log_error("".join(traceback.format_exception(error)))
    return _error_response(
        f"{step} failed on this request ({type(error).__name__}); the server's log says why",
        pb_utils.TritonError.INTERNAL,
    )


def _error_response(sentence: str, code: int) -> Any:
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(sentence, code))
