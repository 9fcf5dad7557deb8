"""Images that are refused, each with its status and a sentence."""

from __future__ import annotations

from contract import STATUS_SENTENCES, ImageStatus


class UnreadableImageError(Exception):
    """An image that cannot or may not be decoded.

    Attributes:
        status: the reason, as it stands in ``image_status``.
    """

    def __init__(self, status: ImageStatus, detail: str = "") -> None:
        sentence = STATUS_SENTENCES[status]
        super().__init__(f"{sentence}: {detail}" if detail else sentence)
        self.status = status


def corrupt(detail: str = "") -> UnreadableImageError:
    """Return the refusal of an image that is not whole, for whoever raises it."""
    return UnreadableImageError(ImageStatus.CORRUPT, detail)
