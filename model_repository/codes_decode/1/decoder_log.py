"""What FFmpeg says while it decodes a packet: which of it means that the picture is not right.

A frame says only when it leaves the decoder that parts of it were made up, and by then others that
refer to it may have left before it. So the messages are listened to. Most errors among them change
no pixel: a picture that is to be forgotten and is not there, a clock that does not run, a number
that is out of its level's range. Those that do begin with the words below. What FFmpeg says in
other words one day is noticed when the frame leaves. A slice whose header is refused is not decoded
at all, and where it is a picture's only one nothing is made up and no frame calls itself corrupt:
so of what reads headers and references every message counts that ends a slice.
"""

from __future__ import annotations

import logging

import av.logging

# Parts of the picture could not be decoded. The first is said of every frame of H.264 of which
# parts were made up, the third of H.265; the others of fields, of which FFmpeg makes nothing up.
DAMAGED = (
    "concealing ",
    "error while decoding MB ",
    "CABAC_MAX_BIN ",
    "Slice overlaps",
    "non-existing PPS",
    "Frame num change",
    "Changing field mode",
    "PPS changed",
    "SPS changed",
    "Invalid mix of IDR",
    "slice type ",
    "reference overflow",
    "reference count overflow",
    "first_mb_in_slice overflow",
    "illegal m",
    "illegal long ref",
    "QP ",
    "deblocking",
    "cabac_init_idc",
    "decode_slice_header error",
    "h264_slice_header_init() failed",
    "A non-intra slice in an IDR",
    "pps_id ",
    "idr_pic_id is invalid",
    "Invalid field mode combination",
    "Too many fields",
    "Too many slices",
    "unset cur_pic_ptr",
    "abs_diff_pic_num overflow",
    "long_term_pic_idx overflow",
    "luma_log2_weight_denom ",
    "chroma_log2_weight_denom ",
    "Out of range weight",
)
# It refers to a picture that is not there.
MISSING = (
    "reference picture missing during reorder",
    "Could not find ref with POC",
    "Error constructing the frame RPS",
    "Discarding mismatching reference",
    "mismatching reference",
    "co located POCs unavailable",
)
# A list of references is longer than the decoder has pictures for. Encoders write such lists, and
# use no more of them than there is; but where there is nothing at all the slice is not decoded.
TOO_FEW = "Missing reference picture"

av.logging.set_level(av.logging.INFO)
# The same may be said of several streams.
av.logging.set_skip_repeated(False)
# What is said while nobody listens, as when pixels are converted, would else go to stderr.
_logger = logging.getLogger("libav")
_logger.addHandler(logging.NullHandler())
_logger.propagate = False


class Messages:
    """What was said of one packet; a context manager that listens.

    Attributes:
        damaged: parts of its picture are not what was encoded.
        missing: it refers to pictures that are not there.
        too_few: its lists of references are longer than the decoder has pictures for.
    """

    def __init__(self) -> None:
        self._capture = av.logging.Capture()
        self.damaged = False
        self.missing = False
        self.too_few = False

    def __enter__(self) -> Messages:
        """Listen to what FFmpeg says in this thread."""
        self._heard = self._capture.__enter__()
        return self

    def __exit__(self, *fault: object) -> None:
        """Listen no more."""
        self._capture.__exit__(*fault)  # type: ignore[arg-type]
        texts = [text for _, _, text in self._heard]
        self.damaged = any(text.startswith(DAMAGED) for text in texts)
        self.missing = any(text.startswith(MISSING) for text in texts)
        self.too_few = any(text.startswith(TOO_FEW) for text in texts)
