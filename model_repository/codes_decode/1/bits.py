"""Reading the bits of a NAL unit's payload."""

from __future__ import annotations

# The longest Exp-Golomb code that H.264 and H.265 allow: 32 zeros before the first one.
LONGEST_CODE = 32


class EndOfBitsError(ValueError):
    """The payload ends, or holds what no payload may hold, where more was to be read."""


class BitReader:
    """Bits from the highest to the lowest of each byte.

    Args:
        payload: without emulation prevention bytes.
    """

    def __init__(self, payload: bytes) -> None:
        # Only the bits that are left, so that zeros before the next one can be counted at once.
        self._rest = int.from_bytes(payload, "big")
        self._left = 8 * len(payload)

    def bits(self, count: int) -> int:
        """Return the next bits as an unsigned number: u(n) of the standards.

        Raises:
            EndOfBitsError: there are no more.
        """
        if count > self._left:
            raise EndOfBitsError("the payload ends too early")
        self._left -= count
        value = self._rest >> self._left
        self._rest -= value << self._left
        return value

    def flag(self) -> bool:
        """Return the next bit."""
        return bool(self.bits(1))

    def skip(self, count: int) -> None:
        """Pass over bits."""
        self.bits(count)

    def unsigned(self) -> int:
        """Return the next Exp-Golomb code: ue(v) of the standards.

        Raises:
            EndOfBitsError: there are no more, or it is longer than any may be.
        """
        zeros = self._left - self._rest.bit_length()
        if zeros > LONGEST_CODE:
            raise EndOfBitsError("a code is too long")
        return self.bits(2 * zeros + 1) - 1

    def signed(self) -> int:
        """Return the next signed Exp-Golomb code: se(v) of the standards."""
        code = self.unsigned()
        return (code + 1) // 2 if code % 2 else -(code // 2)


def without_emulation_prevention(unit: bytes) -> bytes:
    """Return a NAL unit without the 3 that stands after two zero bytes for the start codes' sake.

    As in 7.4.1 of H.264 and of H.265.
    """
    return unit.replace(b"\0\0\3", b"\0\0")
