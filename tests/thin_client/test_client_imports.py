"""What importing the client costs, and what it may import."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import thin_client

PACKAGE = Path(thin_client.__file__).parent


def python(program: str) -> str:
    command = [sys.executable, "-c", program]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize("module", ["cv2", "grpc", "tritonclient", "numpy"])
def test_importing_the_package_loads_none_of_the_heavy_modules(module):
    assert python(f"import sys, thin_client; print('{module}' in sys.modules)") == "False"


def test_importing_everything_public_loads_no_opencv():
    assert python("import sys; from thin_client import *; print('cv2' in sys.modules)") == "False"


def test_help_loads_no_grpc():
    program = (
        "import sys, contextlib\n"
        "from thin_client.cli import main\n"
        "with contextlib.suppress(SystemExit):\n"
        "    main(['--help'])\n"
        "print('grpc' in sys.modules)"
    )
    assert python(program).endswith("False")


def test_everything_but_pictures_works_where_opencv_is_missing(triton):
    program = (
        "import sys\n"
        "sys.modules['cv2'] = None\n"
        "from thin_client import *\n"
        "import numpy as np\n"
        f"with Detector('{triton.url}') as detector:\n"
        "    detections = detector.detect(b'ok 7')\n"
        "print(detections.labels)\n"
        "try:\n"
        "    annotate(np.zeros((207, 107, 3), np.uint8), detections)\n"
        "except OpenCVMissing as error:\n"
        "    print(error)\n"
    )
    labels, sentence = python(program).splitlines()
    assert labels == "('dog',)"
    assert sentence == (
        "drawing boxes needs OpenCV, which is not installed;"
        " run: pip install 'framewire-client[video]'"
    )


def test_every_public_name_is_there_and_listed():
    for name in thin_client.__all__:
        assert getattr(thin_client, name).__name__ == name
    assert set(thin_client.__all__) <= set(dir(thin_client))
    assert sorted(thin_client.__all__) == thin_client.__all__
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        _ = thin_client.Nonsense


def test_every_exception_is_public():
    assert set(thin_client.errors.__all__) <= set(thin_client.__all__)


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").split(".")[0])
    return names


def test_client_imports_only_what_it_requires():
    allowed = {"grpc", "numpy", "thin_client", "tritonclient", "typing_extensions"}
    for path in sorted(PACKAGE.glob("*.py")):
        foreign = imported(path) - allowed - sys.stdlib_module_names
        assert not foreign, f"{path.name} imports {foreign}"


def test_contract_imports_only_the_standard_library():
    assert imported(PACKAGE / "contract.py") <= sys.stdlib_module_names
