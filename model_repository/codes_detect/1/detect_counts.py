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
WANTED_SECONDS = Family(
    "framewire_looks_wanted_seconds_total",
    "Time in which streams with fewer looks than frames wanted more",
)
USED_SECONDS = Family(
    "framewire_looks_wanted_busy_seconds_total",
    "Of the time in which streams wanted more looks: in which the network had frames of streams",
)
DETECT_COUNTERS = (LOOKS, LOOK_SECONDS, TRACKS, PREDICTED, WANTED_SECONDS, USED_SECONDS)
