from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def python(program: str) -> str:
    command = [sys.executable, "-c", program]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_importing_everything_public_loads_no_pyav() -> None:
    program = "import sys; from thin_client import *; print('av' in sys.modules)"
    assert python(program) == "False"


def test_pictures_need_no_streaming_code() -> None:
    program = "import sys, thin_client.client; print('thin_client.streaming' in sys.modules)"
    assert python(program) == "False"


def test_where_pyav_is_missing_the_way_to_get_it_is_said(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "sys.modules['av'] = None\n"
        "from thin_client.streaming.source import VideoSource\n"
        "from thin_client import PyAVMissing\n"
        "try:\n"
        f"    VideoSource({str(tmp_path / 'video.mp4')!r})\n"
        "except PyAVMissing as error:\n"
        "    print(error)\n"
    )
    assert python(program) == (
        "streaming needs PyAV, which is not installed; run: pip install 'framewire-client[stream]'"
    )
