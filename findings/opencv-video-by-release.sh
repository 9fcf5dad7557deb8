#!/bin/sh
# opencv-python-headless 4.10.0.84 to 4.13.0.92: the same video, other colours and another side up.
#
# Expected: VideoCapture of one major version reads one file alike; a file that says BT.709 is
#   converted by BT.709, and one with a display matrix is turned (CAP_PROP_ORIENTATION_AUTO).
# Seen: up to 4.12 the colour matrix is ignored: the red of an HD video is 232 where 4.13 says 254.
#   4.11.0.86, the last that installs beside numpy 1, turns nothing by itself: its pictures lie on
#   their side between two releases whose pictures stand.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
"${PYTHON:-python3}" -m venv "$work/venv"
pip="$work/venv/bin/pip install -q --no-compile --disable-pip-version-check"
$pip av==18.1.0 numpy==2.4.6
cd "$work"
venv/bin/python - <<'EOF'
import av

with av.open("video.mp4", "w") as video:
    stream = video.add_stream("libx264", rate=25, options={"qp": "0"})
    stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
    stream.codec_context.colorspace = stream.codec_context.color_primaries = 1  # BT.709
    stream.codec_context.color_trc = stream.codec_context.color_range = 1
    for _ in range(5):
        frame = av.VideoFrame(128, 96, "yuv420p")
        for plane, value in zip(frame.planes, (63, 102, 240)):  # red, by BT.709
            plane.update(bytes([value]) * plane.buffer_size)
        frame.colorspace = frame.color_range = 1
        video.mux(stream.encode(frame))
    video.mux(stream.encode())
data = bytearray(open("video.mp4", "rb").read())
matrix = data.index(b"tkhd") + 44
turn = (0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30)  # 90 degrees
data[matrix : matrix + 36] = b"".join(value.to_bytes(4, "big", signed=True) for value in turn)
open("turned.mp4", "wb").write(data)
EOF
echo "expected: red 254 and a turned size of 96x128 in each"
for version in 4.10.0.84 4.11.0.86 4.12.0.88 4.13.0.92; do
    $pip --no-deps --target "opencv-$version" opencv-python-headless==$version
    PYTHONPATH="opencv-$version" venv/bin/python - $version >> seen <<'EOF'
import sys
import cv2

red = cv2.VideoCapture("video.mp4").read()[1][48, 64, 2]
height, width = cv2.VideoCapture("turned.mp4").read()[1].shape[:2]
print(f"{sys.argv[1]} red {red} turned {width}x{height}")
EOF
done
sed 's/^/seen: /' seen
cat > known <<'EOF'
4.10.0.84 red 232 turned 96x128
4.11.0.86 red 232 turned 128x96
4.12.0.88 red 232 turned 96x128
4.13.0.92 red 254 turned 96x128
EOF
cmp -s seen known || { echo "CHANGED: this is no longer what was found" >&2; exit 1; }
echo "as found"
