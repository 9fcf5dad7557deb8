"""The dims of a Reshape for any size of the input, from those that an export wrote down.

A Reshape keeps the order of the numbers, so its dims and those of its input fall into groups, from
left to right, of the same product. What a group of the input follows, its counterpart follows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from builder.surgery.size_probe import CONSTANT, Degrees, Dims, OpenDim, UnopenableError


def open_target(given: Dims, target: Sequence[int], base: Sequence[int]) -> Dims:
    """Return what each dim of a Reshape's result follows.

    1. The batch stays outermost: where the input's first dim follows it, so does the result's.
    2. A group of one dim follows all that its counterpart follows.
    3. Of a group of several, the rows and columns of a feature map are two that have the image's
       proportions, and follow its height and width.
    4. A dim of rows and columns that is split in equal parts, as YOLO12 does to its areas: the
       parts stay as many, and what is inside of each follows.

    Args:
        given: dims of the input.
        target: dims of the result for the size of the export; no 0 and no -1.
        base: dims of the input that the export is for.

    Raises:
        UnopenableError: it cannot be told which dim follows what.
    """
    if math.prod(target) != math.prod(dim.size for dim in given):
        raise UnopenableError("a Reshape changes the number of its elements")
    batched = bool(given) and given[0].degrees[0] == 1
    if any(dim.degrees[0] for dim in given[1:]):
        raise UnopenableError("a Reshape has the batch in another place than the first")
    opened: list[OpenDim] = []
    for inside, outside in _groups([dim.size for dim in given], target):
        degrees = [given[place].degrees[1:] for place in inside]
        height, width = (sum(each[axis] for each in degrees) for axis in (0, 1))
        if height > 1 or width > 1:
            raise UnopenableError("a Reshape has the size of the images twice in one of its dims")
        sizes = [target[place] for place in outside]
        # A first dim that is the batch has no part in height and width.
        is_batch = batched and not opened and sizes[0] == base[0] and len(sizes) > 1
        if is_batch:
            opened.append(OpenDim(sizes.pop(0), CONSTANT))
        parts = batched and not opened
        opened += _opened_group(sizes, (0, height, width), base, parts=parts)
    if batched:
        opened[0] = OpenDim(opened[0].size, (1, *opened[0].degrees[1:]))
    return tuple(opened)


def _opened_group(
    sizes: Sequence[int], degrees: Degrees, base: Sequence[int], *, parts: bool
) -> list[OpenDim]:
    free = [place for place, size in enumerate(sizes) if size > 1]
    followers: dict[int, Degrees] = {}
    if degrees == CONSTANT:
        pass
    elif len(free) == 1:
        followers = {free[0]: degrees}
    elif not parts and degrees == (0, 1, 1) and len(free) == 2 and _is_map(sizes, free, base):
        followers = {free[0]: (0, 1, 0), free[1]: (0, 0, 1)}
    elif parts and len(free) == 2:
        # Equal parts of all pixels, the parts counted with the batch.
        followers = {free[1]: degrees}
    else:
        raise UnopenableError(f"a Reshape to {list(sizes)} does not show what follows the size")
    return [OpenDim(size, followers.get(place, CONSTANT)) for place, size in enumerate(sizes)]


def _is_map(sizes: Sequence[int], free: Sequence[int], base: Sequence[int]) -> bool:
    return sizes[free[0]] * base[3] == sizes[free[1]] * base[2]


def _groups(given: Sequence[int], target: Sequence[int]) -> list[tuple[range, range]]:
    """Return pairs of places, the shortest runs of dims from left to right with equal products."""
    groups = []
    i = j = 0
    while i < len(given) and j < len(target):
        begin_i, begin_j = i, j
        a, b, i, j = given[i], target[j], i + 1, j + 1
        while a != b:
            if a < b:
                a, i = a * given[i], i + 1
            else:
                b, j = b * target[j], j + 1
        groups.append((range(begin_i, i), range(begin_j, j)))
    # What is left over on one side are ones.
    inside, outside = groups.pop()
    groups.append((range(inside.start, len(given)), range(outside.start, len(target))))
    return groups
