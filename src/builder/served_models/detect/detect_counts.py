"""What the detect step adds to the metrics."""

from __future__ import annotations

from metrics import Family

LOOKS = Family("framewire_looks_total", "Frames of streams that the network looked at")
LOOK_SECONDS = Family(
    "framewire_look_seconds_total",
    "Time that frames of streams waited for the network and were with it",
)
TRACKS = Family("framewire_tracks_total", "Tracks that were begun, those never shown included")
PREDICTED = Family(
    "framewire_predicted_boxes_total", "Boxes that were answered for frames nobody looked at"
)
DETECT_COUNTERS = (LOOKS, LOOK_SECONDS, TRACKS, PREDICTED)
