"""The images of the requests of one call, loaded together and answered one by one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from contract import IMAGE

from frames import LoadedFrame
from request_parameters import BadParameterError, damaged_images
from triton_requests import failure, image_bytes, refusal

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from contract import DamagedImages

    from frame_batch import FrameBatch
    from frame_loader import FrameLoader


@dataclass(frozen=True)
class RequestRows:
    """One request that is still to be answered.

    Attributes:
        number: of the request in the call.
        index: of its frames among those of the requests that have any.
        loaded: what became of its images.
    """

    number: int
    index: int
    loaded: list[LoadedFrame]

    @property
    def has_image(self) -> bool:
        """Whether at least one of its images could be read."""
        return any(frame.readable for frame in self.loaded)


class ImageBatch:
    """The images of all requests that have no answer yet.

    Args:
        requests: of one call of ``execute``.
        answers: a response, or None, for each; whoever refuses a request puts its answer here.
        step: who speaks, in answers that tell of a fault.

    Attributes:
        loaded: what became of each image, once they are loaded.
    """

    def __init__(self, requests: Sequence[Any], answers: list[Any], step: str) -> None:
        self.answers = answers
        self._step = step
        self._images: list[list[bytes]] = []
        self._damaged: list[DamagedImages | None] = []
        self._rows: dict[int, slice] = {}
        self.loaded: list[LoadedFrame | Exception] = []
        for number, request in enumerate(requests):
            if answers[number] is not None:
                continue
            try:
                images = image_bytes(request, IMAGE)
                damaged = damaged_images(request.parameters())
            except BadParameterError as error:
                answers[number] = refusal(str(error))
                continue
            except Exception as error:  # noqa: BLE001 - raising would fail its neighbours too
                answers[number] = failure(error, step)
                continue
            first = len(self._damaged)
            self._rows[number] = slice(first, first + len(images))
            self._images.append(images)
            self._damaged += [damaged] * len(images)

    def load(self, loader: FrameLoader) -> FrameBatch:
        """Decode the images; refuse the requests whose only image is unreadable.

        Returns:
            The frames of all requests, by their index.
        """
        frames, self.loaded = loader.load(self._images, self._damaged)
        for number, rows in self._rows.items():
            loaded = self.loaded[rows]
            fault = next((each for each in loaded if isinstance(each, Exception)), None)
            if fault is not None:
                self.answers[number] = failure(fault, self._step)
            elif len(loaded) == 1 and not loaded[0].readable:  # type: ignore[union-attr]
                self.answers[number] = refusal(loaded[0].reason)  # type: ignore[union-attr]
        return frames

    def unanswered(self) -> Iterator[RequestRows]:
        """Yield the requests that are still to be answered."""
        for index, (number, rows) in enumerate(self._rows.items()):
            if self.answers[number] is None:
                yield RequestRows(number, index, cast("list[LoadedFrame]", self.loaded[rows]))
