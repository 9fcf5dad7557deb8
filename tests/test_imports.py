"""The import rule: builder -> thin_client -> contract; served models know only their own folder."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, SERVED_MODELS

BUILDER = ROOT / "src" / "builder"
THIN_CLIENT = ROOT / "thin_client"
SERVED_THIRD_PARTY = {
    "av",
    "numpy",
    "cv2",
    "simplejpeg",
    "PIL",
    "openvino",
    "triton_python_backend_utils",
}
CLIENT_THIRD_PARTY = {"numpy", "grpc", "google", "tritonclient", "typing_extensions"}


def imported_modules(file: Path) -> set[str]:
    modules = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file} has a relative import"
            modules.add(node.module or "")
    return modules


def top_level(file: Path) -> set[str]:
    return {module.split(".")[0] for module in imported_modules(file)} - set(
        sys.stdlib_module_names
    )


def files_of(folder: Path) -> list[Path]:
    return [
        file
        for file in sorted(folder.rglob("*.py"))
        if "build" not in file.relative_to(folder).parts
    ]


@pytest.mark.parametrize("file", files_of(SERVED_MODELS), ids=lambda file: file.stem)
def test_served_models_import_only_their_folder_and_the_contract(file: Path) -> None:
    neighbours = {path.stem for path in SERVED_MODELS.rglob("*.py")} | {"contract"}
    assert top_level(file) <= SERVED_THIRD_PARTY | neighbours


def test_the_contract_imports_only_the_standard_library() -> None:
    assert top_level(THIN_CLIENT / "contract.py") == set()


@pytest.mark.parametrize("file", files_of(THIN_CLIENT), ids=lambda file: file.stem)
def test_the_client_never_imports_the_builder(file: Path) -> None:
    assert top_level(file) <= CLIENT_THIRD_PARTY | {"thin_client", "cv2"}


def test_the_builder_never_imports_served_models() -> None:
    builder_files = [file for file in files_of(BUILDER) if SERVED_MODELS not in file.parents]
    assert len(builder_files) > 10
    for file in builder_files:
        assert not [m for m in imported_modules(file) if "served_models" in m], file


@pytest.mark.parametrize(
    "package", ["thin_client", "builder.commands.parser", "builder.commands.health"]
)
def test_importing_a_package_loads_nothing_heavy(package: str) -> None:
    code = f"import sys, {package}; print(*sorted(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    heavy = {"cv2", "torch", "ultralytics", "openvino", "onnxruntime"}
    if package != "builder.commands.parser":
        heavy |= {"grpc", "tritonclient", "numpy", "onnx"}
    assert heavy.isdisjoint(loaded)
