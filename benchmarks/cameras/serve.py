"""Cameras that send a file over RTSP, over and over, in real time: ``serve.py FILE CODEC COUNT``.

Prints their addresses, a line each, and ends with its standard input. The camera is that of the
tests.
"""

from __future__ import annotations

import sys
from pathlib import Path

from video import access_units

from thin_client.contract import Codec

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.thin_client.streaming.rtsp import Camera


def main() -> None:
    """Serve until nobody is there any more."""
    file, codec, count = sys.argv[1:]
    units = access_units(Path(file))
    cameras = [Camera(units, sets_of=units, codec=Codec(codec)) for _ in range(int(count))]
    for camera in cameras:
        print(camera.url, flush=True)
    sys.stdin.read()
    for camera in cameras:
        camera.close()


if __name__ == "__main__":
    main()
