from __future__ import annotations

import json

import pytest
from contract import DamagedImages

from request_parameters import BadParameterError, damaged_images, damaged_parameter


@pytest.mark.parametrize("text", ["", "{}", '{"conf": 0.4}', '{"other": "damaged"}'])
def test_a_request_that_does_not_say_leaves_it_to_the_pipeline(text: str) -> None:
    assert damaged_images(text) is None


@pytest.mark.parametrize("value", ["accept", "ACCEPT", " accept "])
def test_words_are_taken(value: str) -> None:
    assert damaged_images(json.dumps({"damaged": value})) is DamagedImages.ACCEPT
    assert damaged_parameter({"damaged": "refuse"}) is DamagedImages.REFUSE


@pytest.mark.parametrize("value", ["", "yes", True, False, 1, None, ["accept"], "x" * 10_000])
def test_anything_else_is_refused_in_words(value: object) -> None:
    with pytest.raises(BadParameterError, match=r"^parameter damaged must be refuse or acc") as bad:
        damaged_images(json.dumps({"damaged": value}))
    assert len(str(bad.value)) < 120
