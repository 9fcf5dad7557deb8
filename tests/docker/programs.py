"""Programs from the distribution's packages that stand in for the containers of the same name."""

from __future__ import annotations

import os
import shutil

import pytest


def program(name: str, package: str) -> str:
    """Its path; where it is missing the test is skipped, and fails in CI."""
    # Debian keeps some of them where only root looks.
    found = shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")
    if found is None:
        sentence = f"{name} is missing: apt-get install {package}"
        if os.environ.get("CI") == "true":
            pytest.fail(sentence)
        pytest.skip(sentence)
    return found
