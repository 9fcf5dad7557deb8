"""What every served model does with the parameters of a request."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from contract import DAMAGED, DamagedImages

if TYPE_CHECKING:
    from collections.abc import Mapping

SHOWN_CHARACTERS = 40


class BadParameterError(ValueError):
    """A request parameter that is not what it must be; the message is one sentence."""


def shown(value: object) -> str:
    """Return a value as a sentence may hold it."""
    text = str(value)
    if len(text) > SHOWN_CHARACTERS:
        text = text[: SHOWN_CHARACTERS - 3] + "..."
    return repr(text)


def damaged_images(parameters_json: str) -> DamagedImages | None:
    """Return what a request wants done with damaged images; None where it does not say.

    Args:
        parameters_json: ``InferenceRequest.parameters()``.

    Raises:
        BadParameterError: it says something else.
    """
    # Most requests say nothing, and parsing them again would be work done twice.
    if f'"{DAMAGED}"' not in parameters_json:
        return None
    return damaged_parameter(json.loads(parameters_json))


def damaged_parameter(parameters: Mapping[str, object]) -> DamagedImages | None:
    """Return the same of parameters that were parsed.

    Raises:
        BadParameterError: likewise.
    """
    if DAMAGED not in parameters:
        return None
    value = parameters[DAMAGED]
    try:
        return DamagedImages(str(value).strip().lower())
    except ValueError:
        known = " or ".join(each.value for each in DamagedImages)
        raise BadParameterError(
            f"parameter {DAMAGED} must be {known}, got {shown(value)}"
        ) from None
