#!/bin/sh
# PyAV 18.1.0: a packet that went through a BitStreamFilterContext is empty afterwards.
#
# Expected: filter(packet) returns new packets and leaves the one that it was given as it was, so
#   that its is_keyframe, pts and size can still be read beside the filtered bytes.
# Seen: its data have been moved into the filter. It has size 0 and no pts, and is_keyframe is
#   False: code that asks after filtering which packets are key frames finds none, without an error.
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

with av.open("video.mp4", "w") as video:
    stream = video.add_stream("libx264", rate=25, options={"g": "10", "bf": "0"})
    stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
    for number in range(20):
        picture = np.full((96, 128, 3), number * 10, np.uint8)
        video.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
    video.mux(stream.encode())

before, after, filtered = [], [], []
with av.open("video.mp4") as video:
    stream = video.streams.video[0]
    to_annex_b = av.BitStreamFilterContext("h264_mp4toannexb", stream)
    for packet in video.demux(stream):
        if packet.size == 0:
            continue
        before.append((packet.is_keyframe, packet.size > 0, packet.pts is not None))
        filtered += [made.is_keyframe for made in to_annex_b.filter(packet)]
        after.append((packet.is_keyframe, packet.size > 0, packet.pts is not None))

print("av", av.__version__, "libavcodec", av.library_versions["libavcodec"])
print("20 packets, 2 of them key frames; expected: filter() leaves its argument alone")
for name, packets in (("before filter()", before), ("after filter()", after)):
    keys, sizes, times = map(sum, zip(*packets))
    print(f"seen: {name}: {keys} key frames, {sizes} with bytes, {times} with a pts")
print(f"seen: returned by filter(): {sum(filtered)} key frames")
whole = sum(keyframe for keyframe, _, _ in before) == 2 and sum(filtered) == 2
if not whole or len(after) != 20 or any(map(any, after)):
    raise SystemExit("CHANGED: this is no longer what was found")
print("as found")
EOF
