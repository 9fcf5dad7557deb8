#!/bin/sh
# PyAV 18.1.0: after a lost packet H.264 goes on with wrong, unmarked pictures, H.265 waits.
#
# Expected: one codec as the other; pictures that refer to a lost one raise, are left out, or have
#   frame.is_corrupt set.
# Seen: of H.264 all pictures up to the next key frame are given out, wrong, is_corrupt False, no
#   exception. Of H.265 the same loss gives nothing until the next key frame, without an exception
#   either: whoever tested with one codec is surprised by the other.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install -q --no-compile --disable-pip-version-check av==18.1.0 numpy==2.4.6
cd "$work"
venv/bin/python - <<'EOF'
import av
import numpy as np

av.logging.set_level(av.logging.PANIC)
PICTURES, LOST = 40, 6
ENCODERS = {
    "h264": ("libx264", {"x264-params": "keyint=20:bframes=0:ref=1"}),
    "hevc": ("libx265", {"x265-params": "keyint=20:bframes=0:ref=1:log-level=none"}),
}


def encode(encoder, options):
    """Return packets in Annex B, each one picture; key frames are 0 and 20."""
    context = av.CodecContext.create(encoder, "w")
    context.width, context.height, context.pix_fmt = 128, 96, "yuv420p"
    context.framerate, context.options = 25, options
    made = []
    for number in range(PICTURES):
        picture = np.zeros((96, 128, 3), np.uint8)
        picture[:, :, 1] = np.arange(96)[:, None] * 2 + number
        picture[20:60, number * 2 : number * 2 + 40] = (200, 30, 60)
        frame = av.VideoFrame.from_ndarray(picture, "rgb24")
        frame.pts = number
        made += [bytes(packet) for packet in context.encode(frame)]
    return made + [bytes(packet) for packet in context.encode(None)]


def decode(codec, packets):
    """Return the frames by their number and how many packets raised."""
    context = av.CodecContext.create(codec, "r")
    context.thread_count = 1
    frames, raised = [], 0
    for number, data in [*packets, (None, None)]:
        packet = None if data is None else av.Packet(data)
        if packet:
            packet.pts = number
        try:
            frames += context.decode(packet)
        except av.FFmpegError:
            raised += 1
    return {frame.pts: frame for frame in frames}, raised


print("av", av.__version__, "libavcodec", av.library_versions["libavcodec"])
print(f"{PICTURES} pictures, key frames 0 and 20, packet {LOST} lost")
print("expected: those of 7 to 19 that are given out are marked by is_corrupt")
seen = {}
for codec, (encoder, options) in ENCODERS.items():
    packets = list(enumerate(encode(encoder, options)))
    whole, _ = decode(codec, packets)
    frames, raised = decode(codec, packets[:LOST] + packets[LOST + 1 :])
    wrong = [
        number
        for number, frame in frames.items()
        if not np.array_equal(frame.to_ndarray(), whole[number].to_ndarray())
    ]
    marked = sum(frame.is_corrupt for frame in frames.values())
    seen[codec] = (len(whole), len(frames), len(wrong), marked, raised)
    print("seen: %s: %d, given out %d, wrong %d, marked %d, raised %d" % (codec, *seen[codec]))
if seen != {"h264": (40, 39, 13, 0, 0), "hevc": (40, 26, 0, 0, 0)}:
    raise SystemExit("CHANGED: this is no longer what was found")
print("as found")
EOF
