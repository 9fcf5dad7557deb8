"""A tiny encoder of H.264, for pictures that no encoder at hand makes: fields, marking, gaps.

Pictures are small. Each copies another one, or the mean of two, but for one block, which holds a
colour of its own: so whatever a picture was made of wrongly, it shows.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from tests.bit_writer import BitWriter, nal_unit

MACROBLOCK_BYTES = 384
# slice_type, and mb_type of a block that is stored, in each.
TYPES = {"P": (0, 30), "B": (1, 48), "I": (2, 25)}
BASELINE, MAIN, EXTENDED, HIGH = 66, 77, 88, 110


@dataclass(frozen=True, kw_only=True)
class Writer:
    """What the parameter sets say; makes pictures to go with them.

    Attributes:
        columns: of macroblocks.
        rows: of macroblocks of a frame; even.
        number_bits: of frame_num.
        order_type: pic_order_cnt_type.
        order_bits: of pic_order_cnt_lsb.
        references: that a decoder keeps.
        fields: whether pictures may be fields.
        gaps: whether frame_num may have gaps.
        reorder: max_num_reorder_frames; None leaves it out.
        lists: entries of the lists of references where a slice does not say.
        profile: profile_idc.
        level: level_idc.
        depths: bits of luma and chroma; of HIGH only.
        redundant: whether slices tell of being redundant; each then comes once more.
    """

    columns: int = 4
    rows: int = 4
    number_bits: int = 4
    order_type: int = 0
    order_bits: int = 6
    references: int = 2
    fields: bool = False
    gaps: bool = False
    reorder: int | None = 0
    lists: int = 1
    profile: int = MAIN
    level: int = 40
    depths: tuple[int, int] = (8, 8)
    redundant: bool = False

    def sets(self, number: int = 0) -> bytes:
        """SPS and PPS."""
        return self.sequence_set(number) + self.picture_set(number)

    def sequence_set(self, number: int = 0) -> bytes:
        writer = BitWriter().bits(8, self.profile).bits(8, 0).bits(8, self.level)
        writer.unsigned(number)
        if self.profile == HIGH:
            writer.unsigned(1, self.depths[0] - 8, self.depths[1] - 8).bits(2, 0)
        writer.unsigned(self.number_bits - 4, self.order_type)
        if self.order_type == 0:
            writer.unsigned(self.order_bits - 4)
        elif self.order_type == 1:
            # Every other picture is referred to by none: order 0, 4 and so on, and one before each.
            writer.bits(1, 0).signed(-2, 1).unsigned(1).signed(4)
        writer.unsigned(self.references).bits(1, self.gaps)
        rows = self.rows // 2 if self.fields else self.rows
        writer.unsigned(self.columns - 1, rows - 1).bits(1, not self.fields)
        if self.fields:
            writer.bits(1, 0)
        writer.bits(1, 1).bits(1, 0).bits(1, self.reorder is not None)
        if self.reorder is not None:
            # Nothing but what is said of reordering.
            writer.bits(5, 0).bits(2, 0).bits(1, 0).bits(1, 1).bits(1, 1)
            writer.unsigned(0, 0, 10, 10, self.reorder, max(self.references, self.reorder))
        return nal_unit(b"\x67", writer.data())

    def picture_set(self, number: int = 0, sequence: int | None = None, groups: int = 1) -> bytes:
        writer = BitWriter().unsigned(number, number if sequence is None else sequence)
        writer.bits(2, 0).unsigned(groups - 1)
        if groups > 1:
            writer.unsigned(0, *[0] * groups)
        writer.unsigned(self.lists - 1, self.lists - 1).bits(3, 0).signed(0, 0, 0)
        return nal_unit(b"\x68", writer.bits(2, 0).bits(1, self.redundant).data())

    def picture(
        self,
        kind: str,
        number: int,
        order: int,
        colour: int,
        *,
        key: bool = False,
        reference: bool = True,
        bottom: bool | None = None,
        copies: int = 0,
        entries: int | None = None,
        named: Sequence[tuple[int, int]] = (),
        marking: Sequence[tuple[int, ...]] = (),
        picture_set: int = 0,
        slices: int = 1,
    ) -> bytes:
        """A frame, or one field of it.

        Args:
            kind: I, P or B; B is the mean of the first entries of both lists.
            number: frame_num.
            order: pic_order_cnt_lsb.
            colour: of the block that is its own, and where that lies.
            key: whether it is an IDR picture.
            reference: whether others may refer to it.
            bottom: which field it is; None of a frame.
            copies: entry of the list of references that it copies.
            entries: of that list.
            named: modification_of_pic_nums_idc and its number, in that order.
            marking: memory_management_control_operation and its numbers, likewise.
            picture_set: its number.
            slices: that the picture is cut into.
        """
        blocks = self.columns * self.rows // (1 if bottom is None else 2)
        edges = [blocks * index // slices for index in range(slices + 1)]
        entries = self.lists if entries is None else entries
        units = b""
        for repeats, (first, end) in itertools.product(
            range(1 + self.redundant), itertools.pairwise(edges)
        ):
            writer = BitWriter().unsigned(first, TYPES[kind][0], picture_set)
            writer.bits(self.number_bits, number % 2**self.number_bits)
            if self.fields:
                writer.bits(1, bottom is not None)
                if bottom is not None:
                    writer.bits(1, bottom)
            if key:
                writer.unsigned(0)
            if self.order_type == 0:
                writer.bits(self.order_bits, order % 2**self.order_bits)
            elif self.order_type == 1:
                writer.signed(0)
            if self.redundant:
                writer.unsigned(repeats)
            self._write_lists(writer, kind, entries, named)
            if reference:
                self._write_marking(writer, marking, key=key)
            writer.signed(0)  # quantiser
            self._write_blocks(writer, kind, range(first, end), colour, copies, entries)
            header = (0x60 if reference else 0) | (5 if key else 1)
            units += nal_unit(bytes([header]), writer.data())
        return units

    @staticmethod
    def _write_lists(
        writer: BitWriter, kind: str, entries: int, named: Sequence[tuple[int, int]]
    ) -> None:
        if kind == "I":
            return
        if kind == "B":
            writer.bits(1, 1)  # direct prediction in space
        writer.bits(1, 1).unsigned(entries - 1)
        if kind == "B":
            writer.unsigned(entries - 1)
        writer.bits(1, bool(named))
        if named:
            for operation, value in named:
                writer.unsigned(operation, value)
            writer.unsigned(3)
        if kind == "B":
            writer.bits(1, 0)

    @staticmethod
    def _write_marking(writer: BitWriter, marking: Sequence[tuple[int, ...]], *, key: bool) -> None:
        if key:
            writer.bits(2, 0)
            return
        writer.bits(1, bool(marking))
        if marking:
            for operation in marking:
                writer.unsigned(*operation)
            writer.unsigned(0)

    def _write_blocks(
        self,
        writer: BitWriter,
        kind: str,
        blocks: range,
        colour: int,
        copies: int,
        entries: int,
    ) -> None:
        own = colour % (self.columns * self.rows // 2)
        for block in blocks:
            if kind != "I":
                writer.unsigned(0)  # none is skipped
            if kind == "I" or block == own:
                value = (37 * colour + 11 * block * (kind == "I")) % 240 + 8
                writer.unsigned(TYPES[kind][1]).aligned(bytes([value]) * MACROBLOCK_BYTES)
                continue
            writer.unsigned(0 if kind == "P" else 3)
            if entries > 1:
                for _ in range(1 if kind == "P" else 2):
                    if entries == 2:
                        writer.bits(1, copies == 0)
                    else:
                        writer.unsigned(copies)
            writer.signed(*[0] * (2 if kind == "P" else 4)).unsigned(0)


def recovery_point(count: int, *, broken: bool = False) -> bytes:
    """An SEI that says that decoding can begin."""
    message = BitWriter().unsigned(count).bits(1, 1).bits(1, broken).bits(2, 0).data()
    return nal_unit(b"\x06", bytes([6, len(message)]) + message + b"\x80")
