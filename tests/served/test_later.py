"""What a start leaves for later, and what it does not begin without."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.conftest import ROOT


def in_a_process(model: str, code: str) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh process, where a model's modules can be imported as in Triton's."""
    path = str(ROOT / "model_repository" / f"codes_{model}" / "1")
    begin = f"import sys; sys.path.insert(0, {path!r})\n"
    return subprocess.run(
        [sys.executable, "-c", begin + code], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("model", "module", "packages"),
    [
        ("decode", "open_streams", ["av", "PIL"]),
        ("preprocess", "frame_loader", ["PIL"]),
        ("bls", "frame_loader", ["PIL"]),
        ("network", "runtime", ["openvino.tools.ovc", "openvino_telemetry"]),
    ],
)
def test_a_start_leaves_for_later(model: str, module: str, packages: list[str]) -> None:
    code = f"import {module}; print([name for name in {packages} if sys.modules.get(name)])"
    done = in_a_process(model, code)
    assert (done.stdout, done.stderr) == ("[]\n", "")


@pytest.mark.parametrize(
    ("model", "module", "package"),
    [
        ("decode", "open_streams", "av"),
        ("decode", "open_streams", "PIL"),
        ("preprocess", "frame_loader", "PIL"),
        ("bls", "frame_loader", "PIL"),
    ],
)
def test_a_start_without_what_comes_later_is_refused(model: str, module: str, package: str) -> None:
    # None is how Python is told that a module is not to be found.
    done = in_a_process(model, f"sys.modules[{package!r}] = None; import {module}")
    assert done.stderr.endswith(f"ModuleNotFoundError: No module named '{package}'\n")
