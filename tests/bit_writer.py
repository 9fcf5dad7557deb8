"""Bits that no encoder writes."""

from __future__ import annotations

import re


class BitWriter:
    """Writes numbers as the headers of H.264 and H.265 have them."""

    def __init__(self) -> None:
        self._text: list[str] = []
        self._length = 0

    def bits(self, count: int, value: int) -> BitWriter:
        """u(n)."""
        return self._add(f"{value:0{count}b}" if count else "")

    def unsigned(self, *values: int) -> BitWriter:
        """ue(v), each of them."""
        for value in values:
            self._add("0" * ((value + 1).bit_length() - 1) + f"{value + 1:b}")
        return self

    def signed(self, *values: int) -> BitWriter:
        """se(v), each of them."""
        return self.unsigned(*(2 * value - 1 if value > 0 else -2 * value for value in values))

    def aligned(self, data: bytes) -> BitWriter:
        """Whole bytes after zeros up to the next one."""
        self._add("0" * (-self._length % 8))
        return self._add("".join(f"{byte:08b}" for byte in data))

    def data(self) -> bytes:
        """What was written, with the bit that ends a payload."""
        text = "".join(self._text) + "1"
        text += "0" * (-len(text) % 8)
        return int(text, 2).to_bytes(len(text) // 8, "big")

    def _add(self, text: str) -> BitWriter:
        self._text.append(text)
        self._length += len(text)
        return self


def nal_unit(header: bytes, payload: bytes) -> bytes:
    """A NAL unit in Annex B, with emulation prevention."""
    escaped = re.sub(rb"\0\0(?=[\0-\3])", b"\0\0\3", payload)
    return b"\0\0\0\1" + header + escaped
