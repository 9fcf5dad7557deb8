"""What the parsers of command lines have in common."""

from __future__ import annotations

import argparse
from typing import NoReturn

from thin_client.redaction import without_secrets

__all__ = ["CommandLine"]


class CommandLine(argparse.ArgumentParser):
    """A parser whose complaints, which quote what was typed, leave out passwords of addresses."""

    def error(self, message: str) -> NoReturn:
        """Print usage and ``message``, and exit with 2."""
        super().error(without_secrets(message))
