"""ByteTrack: which boxes of one frame are the same things as those of the frames before.

After Zhang et al., "ByteTrack: Multi-Object Tracking by Associating Every Detection Box", ECCV 2022
(arXiv 2110.06864) and the authors' code (MIT licence, https://github.com/ifzhang/ByteTrack), with
the thresholds that ultralytics has by default. Boxes of different classes are never the same thing.

What is added for frames that nobody looked at: all tracks are predicted, those that were seen with
the last look are shown, and one whose centre leaves the picture ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from assignment import assign
from kalman import Motion, xyah_to_xyxy, xyxy_to_xyah
from nms import overlaps

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Indices = NDArray[np.intp]

NO_TRACK = 0
# Costs of a pair, 1 less its overlap, from which on it is none: in the first stage, with boxes of
# low score, and with tracks that were seen once.
FIRST_LIMIT, SECOND_LIMIT, UNCONFIRMED_LIMIT = 0.8, 0.5, 0.7
# Two tracks that overlap by more are one.
DUPLICATE_OVERLAP = 0.85
PUBLISHED_HITS = 2


@dataclass(frozen=True)
class TrackSettings:
    """What a stream may choose.

    Attributes:
        high: boxes of this score or more are associated first, and only they begin tracks.
        low: boxes between this score and ``high`` may go on with a track, and begin none.
        buffer: frames after which a track that is not found again ends.
        min_hits: looks that must have found a track before it is shown; as published 2, but for the
            tracks of the very first look.
    """

    high: float = 0.25
    low: float = 0.1
    buffer: int = 30
    min_hits: int = PUBLISHED_HITS


DEFAULTS = TrackSettings()


@dataclass(frozen=True)
class ShownTracks:
    """Tracks as they are shown.

    Attributes:
        ids: int64 ``[n]``, from 1.
        boxes_xyxy: float32 ``[n, 4]``, predicted, pixels of the picture.
        scores: float32 ``[n]``, of the box that was last seen.
        classes: int32 ``[n]``.
    """

    ids: NDArray[np.int64]
    boxes_xyxy: NDArray[np.float32]
    scores: NDArray[np.float32]
    classes: NDArray[np.int32]


class ByteTracker:
    """Tracks the boxes of one stream.

    Args:
        settings: of it; those of ultralytics by default.
    """

    def __init__(self, settings: TrackSettings = DEFAULTS) -> None:
        self.settings = settings
        self._frame = 0
        self._looks = 0
        self._last_id = 0
        self._motion = Motion.begin(np.empty((0, 4)))
        self._ids = np.empty(0, np.int64)
        self._scores = np.empty(0, np.float32)
        self._classes = np.empty(0, np.int32)
        # Seen with the last look; else lost. A track that is not confirmed is never lost.
        self._tracked = np.empty(0, bool)
        self._confirmed = np.empty(0, bool)
        self._hits = np.empty(0, np.intp)
        self._first_seen = np.empty(0, np.intp)
        self._last_seen = np.empty(0, np.intp)
        # Lost for longer than the buffer, once.
        self._too_old = np.empty(0, bool)

    def __len__(self) -> int:
        """Return how many tracks there are, the lost ones too."""
        return len(self._ids)

    @property
    def begun(self) -> int:
        """How many tracks there have been."""
        return self._last_id

    def end(self) -> None:
        """End all tracks; the next look begins as the first one did, with ids of its own."""
        self._keep(np.zeros(len(self), bool))
        self._looks = 0

    def look(
        self,
        boxes_xyxy: NDArray[np.float32],
        scores: NDArray[np.float32],
        classes: NDArray[np.int32],
        begin: float = 0.0,
    ) -> NDArray[np.int64]:
        """Take in what the network found in the next frame; return the id of each box's track.

        Args:
            boxes_xyxy: float32 ``[n, 4]``, pixels of the picture.
            scores: float32 ``[n]``.
            classes: int32 ``[n]``.
            begin: boxes of a lower score begin no tracks, as those below ``high``.

        Returns:
            int64 ``[n]``; 0 where a box has no track, or one that is not shown yet.
        """
        self._frame += 1
        self._looks += 1
        settings = self.settings
        real = (boxes_xyxy[:, 2:] > boxes_xyxy[:, :2]).all(axis=1)
        high = np.flatnonzero(real & (scores >= settings.high))
        low = np.flatnonzero(real & (scores > settings.low) & (scores < settings.high))
        self._predict(np.flatnonzero(self._confirmed))
        seen = _Seen(boxes_xyxy, scores, classes, np.full(len(scores), -1, np.intp))

        pool = np.flatnonzero(self._confirmed)
        left = self._associate(pool, high, seen, FIRST_LIMIT, fuse=True)
        unmatched = pool[self._last_seen[pool] < self._frame]
        was_tracked = unmatched[self._tracked[unmatched]]
        self._associate(was_tracked, low, seen, SECOND_LIMIT, fuse=False)
        missed = was_tracked[self._last_seen[was_tracked] < self._frame]
        self._tracked[missed] = False

        unconfirmed = np.flatnonzero(~self._confirmed)
        left = self._associate(unconfirmed, left, seen, UNCONFIRMED_LIMIT, fuse=True)
        gone = ~self._confirmed
        self._begin(left[scores[left] >= max(settings.high, begin)], seen)
        kept = np.ones(len(self), bool)
        kept[: len(gone)] = ~gone
        # As in the authors' code: a track that is too old is there for one more association, and
        # when it was found by that it has no second chance.
        lost = ~self._tracked
        lost[missed] = False
        too_old = lost & (self._frame - self._last_seen > settings.buffer)
        kept &= ~(too_old & self._too_old)
        kept[missed] &= ~self._too_old[missed]
        self._too_old |= too_old
        kept &= ~self._duplicates(kept)
        ids = np.where(self._shown(), self._ids, NO_TRACK)
        found = seen.track >= 0
        of_boxes = np.zeros(len(scores), np.int64)
        of_boxes[found] = np.where(kept, ids, NO_TRACK)[seen.track[found]]
        self._keep(kept)
        return of_boxes

    def predict(self, width: int, height: int) -> ShownTracks:
        """Go on by a frame that nobody looked at; return what is shown of the tracks.

        Args:
            width: of the picture, pixels.
            height: likewise.
        """
        self._frame += 1
        # The unconfirmed ones too, or the next look would learn nothing of how they move.
        self._predict(np.arange(len(self)))
        place = self._motion.place
        inside = ((place[:, :2] >= 0) & (place[:, :2] <= (width, height))).all(axis=1)
        sound = np.isfinite(place).all(axis=1) & (place[:, 2:] > 0).all(axis=1)
        fresh = self._tracked | (self._frame - self._last_seen <= self.settings.buffer)
        self._keep(inside & sound & fresh)
        shown = self._shown()
        boxes = xyah_to_xyxy(self._motion.place[shown])
        boxes = np.clip(boxes, 0, (width, height, width, height))
        return ShownTracks(
            self._ids[shown],
            boxes.astype(np.float32),
            self._scores[shown],
            self._classes[shown],
        )

    def _predict(self, rows: Indices) -> None:
        if not len(rows):
            return
        motion = self._motion.take(rows)
        # As published: a lost box keeps its height.
        motion.velocity[~self._tracked[rows], 3] = 0
        motion.predict()
        self._motion.put(rows, motion)

    def _associate(
        self, tracks: Indices, boxes: Indices, seen: _Seen, limit: float, *, fuse: bool
    ) -> Indices:
        """Give tracks what was seen of them; return the boxes that are left.

        Args:
            tracks: rows of them.
            boxes: indices of them.
            seen: all boxes; those that are given away are marked in it.
            limit: of the cost of a pair.
            fuse: whether an overlap counts by the score of its box.
        """
        if not len(tracks) or not len(boxes):
            return boxes
        of_tracks = xyah_to_xyxy(self._motion.place[tracks]).astype(np.float32)
        likeness = overlaps(of_tracks, seen.boxes_xyxy[boxes])
        if fuse:
            likeness *= seen.scores[boxes]
        costs = 1 - likeness
        costs[self._classes[tracks][:, None] != seen.classes[boxes]] = np.inf
        pairs = np.array(assign(costs, limit), np.intp).reshape(-1, 2)
        matched, given = tracks[pairs[:, 0]], boxes[pairs[:, 1]]
        motion = self._motion.take(matched)
        motion.correct(xyxy_to_xyah(seen.boxes_xyxy[given]))
        self._motion.put(matched, motion)
        self._scores[matched] = seen.scores[given]
        self._tracked[matched] = True
        self._confirmed[matched] = True
        self._hits[matched] += 1
        self._last_seen[matched] = self._frame
        seen.track[given] = matched
        left: Indices = np.delete(boxes, pairs[:, 1])
        return left

    def _begin(self, boxes: Indices, seen: _Seen) -> None:
        count = len(boxes)
        seen.track[boxes] = np.arange(len(self), len(self) + count)
        at_once = self._looks == 1 or self.settings.min_hits < PUBLISHED_HITS
        self._motion = self._motion.joined(Motion.begin(xyxy_to_xyah(seen.boxes_xyxy[boxes])))
        self._ids = np.append(self._ids, self._last_id + 1 + np.arange(count))
        self._last_id += count
        self._scores = np.append(self._scores, seen.scores[boxes])
        self._classes = np.append(self._classes, seen.classes[boxes])
        self._tracked = np.append(self._tracked, np.ones(count, bool))
        self._confirmed = np.append(self._confirmed, np.full(count, at_once))
        self._hits = np.append(self._hits, np.ones(count, np.intp))
        self._first_seen = np.append(self._first_seen, np.full(count, self._frame))
        self._last_seen = np.append(self._last_seen, np.full(count, self._frame))
        self._too_old = np.append(self._too_old, np.zeros(count, bool))

    def _shown(self) -> NDArray[np.bool_]:
        enough = self._confirmed
        if self.settings.min_hits > PUBLISHED_HITS:
            enough = self._hits >= self.settings.min_hits
        shown: NDArray[np.bool_] = self._tracked & enough
        return shown

    def _duplicates(self, kept: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return which tracks are the younger ones of two, one tracked and one lost."""
        duplicate = np.zeros(len(self), bool)
        tracked = np.flatnonzero(kept & self._tracked)
        lost = np.flatnonzero(kept & ~self._tracked)
        if not len(tracked) or not len(lost):
            return duplicate
        boxes = xyah_to_xyxy(self._motion.place).astype(np.float32)
        same = 1 - overlaps(boxes[tracked], boxes[lost]) < 1 - DUPLICATE_OVERLAP
        same &= self._classes[tracked][:, None] == self._classes[lost]
        age = self._last_seen - self._first_seen
        for one, other in np.argwhere(same):
            longer = age[tracked[one]] > age[lost[other]]
            duplicate[lost[other] if longer else tracked[one]] = True
        return duplicate

    def _keep(self, kept: NDArray[np.bool_]) -> None:
        if kept.all():
            return
        self._motion = self._motion.take(kept)
        for name in (
            "_ids",
            "_scores",
            "_classes",
            "_tracked",
            "_confirmed",
            "_hits",
            "_first_seen",
            "_last_seen",
            "_too_old",
        ):
            setattr(self, name, getattr(self, name)[kept])


@dataclass(frozen=True)
class _Seen:
    """The boxes of a look.

    Attributes:
        boxes_xyxy: float32 ``[n, 4]``.
        scores: float32 ``[n]``.
        classes: int32 ``[n]``.
        track: int ``[n]``, the row of each box's track, or -1.
    """

    boxes_xyxy: NDArray[np.float32]
    scores: NDArray[np.float32]
    classes: NDArray[np.int32]
    track: Indices
