"""Programs from the distribution's packages that stand in for the containers of the same name."""

from __future__ import annotations

import os
import shutil

import pytest


def program(name: str, package: str) -> str:
    """Its path; where it is missing the test is skipped, and fails in CI."""
    found = shutil.which(name)
    if found is None:
        sentence = f"{name} is missing: apt-get install {package}"
        if os.environ.get("CI") == "true":
            pytest.fail(sentence)
        pytest.skip(sentence)
    return found
