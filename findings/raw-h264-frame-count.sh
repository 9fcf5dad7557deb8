#!/bin/sh
# OpenCV 4.13.0.92, decord 0.6.0: how many frames a raw H.264 file has, as cameras record it.
#
# Expected: such a file says no length, so 0, -1 or a count after reading it through.
# Seen: VideoCapture's CAP_PROP_FRAME_COUNT is -192153584101141 at 25 frames a second, so that
#   range(int(count)) is empty and a progress bar negative, while read() gives all frames. decord
#   does not open the file at all, which it calls broken; the same bytes in MP4 it reads.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install -q --no-compile --disable-pip-version-check \
    numpy==2.4.6 av==18.1.0 opencv-python-headless==4.13.0.92 decord==0.6.0
cd "$work"
venv/bin/python - <<'EOF'
import av
import cv2
import decord
import numpy as np

with av.open("video.mp4", "w") as mp4, av.open("video.h264", "w") as raw:
    options = {"g": "10", "bf": "0"}
    for video in (mp4, raw):
        stream = video.add_stream("libx264", rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        for number in range(30):
            picture = np.full((96, 128, 3), number * 8, np.uint8)
            video.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        video.mux(stream.encode())


def of_opencv(path):
    capture = cv2.VideoCapture(path)
    count, read = int(capture.get(cv2.CAP_PROP_FRAME_COUNT)), 0
    while capture.read()[0]:
        read += 1
    return count, read


def of_decord(path):
    try:
        return len(decord.VideoReader(path))
    except decord.DECORDError as error:
        return "broken metadata" if "broken metadata" in str(error) else str(error)


print("opencv", cv2.__version__, "decord", decord.__version__)
print("30 frames at 25 a second; expected: 30, or 0 or -1 where no length is known")
seen = [(of_opencv(path), of_decord(path)) for path in ("video.mp4", "video.h264")]
for name, ((count, read), says) in zip(("MP4", "raw H.264"), seen):
    print(f"seen: {name}: OpenCV counts {count} and reads {read}, decord: {says}")
if seen != [((30, 30), 30), ((-192153584101141, 30), "broken metadata")]:
    raise SystemExit("CHANGED: this is no longer what was found")
print("as found")
EOF
