"""Fuzzing: every parser that sees bytes from outside."""

import tests.conftest  # noqa: F401 - served models are found through it
