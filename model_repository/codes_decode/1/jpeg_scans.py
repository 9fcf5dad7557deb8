"""The scans of a JPEG: where they are, what decoding them takes, whether all of them are there."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from jpeg import (
    ARITHMETIC,
    END_OF_IMAGE,
    MAX_SEGMENTS,
    PASSED_OVER,
    PROGRESSIVE,
    STANDALONE,
    START_OF_IMAGE,
    START_OF_SCAN,
    TABLES,
    JpegHeader,
    segment_at,
)
from unreadable import corrupt

# What ends a scan's data: a marker that is no restart. Codes below C0 no file has there; if damage
# made one, libjpeg-turbo passes over it where the picture has restarts.
SCAN_END = re.compile(rb"\xff([\xc0-\xcf\xd8-\xfe])")
BLOCK, BLOCK_SAMPLES = 8, 64
LAST_COEFFICIENT = 63
# Of a progressive picture's coefficient: no scan has brought it yet.
NOT_SENT = 0xFF
# Ss, Se, Ah and Al of a sequential scan (B.2.3). Old encoders write zeros, which libjpeg-turbo
# warns of and does not obey.
SEQUENTIAL = bytes([0, LAST_COEFFICIENT, 0])

# Each scan touches every sample of its components again, and one of nothing takes 139 bytes. Ten
# scans are common. So many samples are decoded in about a second where the scans are empty, and
# where they are not a file's bytes bound the time. Arithmetic decoding takes longer for each.
MAX_SCANS = 100
MAX_SCANNED_SAMPLES = 1_500_000_000
ARITHMETIC_COST = 8


@dataclass
class Scans:
    """What stands from the first scan on, as far as it can be followed.

    Attributes:
        pieces: in order, the tables before each scan, its header and its data; nothing else.
        ended: whether the picture ends where it says so: with an end of image, or, where nothing
            follows the one scan that it has, any marker but that of another picture.
        complete: whether every coefficient of every component came, to its last bit.
        lacking: whether a component came in no scan.
        in_order: whether each scan goes on where those before it ended; libjpeg-turbo calls others
            an inconsistent progression.
        data_bytes: of all scans.
    """

    pieces: list[bytes] = field(default_factory=list)
    ended: bool = False
    complete: bool = False
    lacking: bool = True
    in_order: bool = True
    data_bytes: int = 0


def read_scans(data: bytes, header: JpegHeader) -> Scans:
    """Follow the scans of a JPEG; of one that has only one, up to the marker behind it.

    Raises:
        UnreadableImageError: there are more than any picture of this size needs.
    """
    scans = Scans()
    progress = _Progress(header)
    tables: list[bytes] = []
    position = header.first_scan
    for _ in range(MAX_SEGMENTS):
        segment = segment_at(data, position)
        if segment is None:
            return scans
        marker, start, body, position = segment
        if marker == END_OF_IMAGE:
            scans.ended = True
            return scans
        if marker in TABLES:
            tables.append(data[start:position])
        elif marker == START_OF_SCAN:
            parameters = data[body:position]
            if not progress.add(parameters):
                return scans
            end = SCAN_END.search(data, position)
            stop = end.start() if end else len(data)
            if header.coding not in PROGRESSIVE:
                parameters = parameters[:-3] + SEQUENTIAL
            scans.pieces += [*tables, data[start:body], parameters, data[position:stop]]
            scans.data_bytes += stop - position
            scans.complete, scans.lacking = progress.complete, progress.lacking
            scans.in_order = progress.in_order
            tables = []
            position = stop
            if not header.several_scans:
                scans.ended = end is not None and end[1][0] != START_OF_IMAGE
                return scans
        elif marker not in PASSED_OVER and marker not in STANDALONE:
            return scans
    raise corrupt("it has too many segments")


class _Progress:
    """What the scans of a picture brought so far (G.1.1), and what decoding them takes."""

    def __init__(self, header: JpegHeader) -> None:
        self._header = header
        self._cost = ARITHMETIC_COST if header.coding in ARITHMETIC else 1
        # A scan for each sample is what the limit of pixels allows.
        once = sum(map(self._samples_of, range(len(header.components))))
        self._allowed = max(MAX_SCANNED_SAMPLES, once)
        self._numbers = [each.number for each in header.components]
        # Of each coefficient, how many of its bits are still missing.
        self._missing = [bytearray([NOT_SENT] * BLOCK_SAMPLES) for _ in header.components]
        self._scans = 0
        self._samples = 0
        self.in_order = True

    @property
    def complete(self) -> bool:
        """Whether nothing is missing."""
        return not any(map(any, self._missing))

    @property
    def lacking(self) -> bool:
        """Whether a component has not even its mean values."""
        return any(missing[0] == NOT_SENT for missing in self._missing)

    def add(self, parameters: bytes) -> bool:
        """Take note of a scan; return whether its header makes sense.

        Raises:
            UnreadableImageError: it is one too many.
        """
        count = parameters[0] if parameters else 0
        if not count or len(parameters) != 4 + 2 * count:
            return False
        first, last, bits = parameters[-3:]
        if self._header.coding not in PROGRESSIVE:
            first, last, bits = 0, LAST_COEFFICIENT, 0
        chosen = self._components(parameters[1 : 1 + 2 * count : 2])
        if not chosen or not first <= last <= LAST_COEFFICIENT:
            return False
        self._scans += 1
        self._samples += sum(map(self._samples_of, chosen))
        if self._scans > MAX_SCANS or self._samples * self._cost > self._allowed:
            raise corrupt(
                "it has too many scans" if self._scans > 1 else "its coding takes too long"
            )
        for component in chosen:
            self._take(self._missing[component], first, last, bits)
        return True

    def _take(self, missing: bytearray, first: int, last: int, bits: int) -> None:
        """Note that a component's coefficients came: from how many bits missing to how many."""
        if self._header.coding in PROGRESSIVE:
            before = {0 if each == NOT_SENT else each for each in missing[first : last + 1]}
            self.in_order &= before == {bits >> 4} and (first == 0 or missing[0] != NOT_SENT)
        missing[first : last + 1] = bytes([bits & 15]) * (last + 1 - first)

    def _components(self, numbers: bytes) -> list[int]:
        """Return which components a scan has, none where there is no such one."""
        chosen: list[int] = []
        for number in numbers:
            # Odd encoders give several components one number; they come in order.
            fitting = [
                at for at, own in enumerate(self._numbers) if own == number and at not in chosen
            ]
            if not fitting:
                return []
            chosen.append(fitting[0])
        return chosen

    def _samples_of(self, component: int) -> int:
        header, own = self._header, self._header.components[component]
        across = max(each.across for each in header.components) * BLOCK
        down = max(each.down for each in header.components) * BLOCK
        # Scans of several components hold whole groups of blocks (A.2.3).
        wide = -(-header.width // across) * own.across
        high = -(-header.height // down) * own.down
        return wide * high * BLOCK_SAMPLES
