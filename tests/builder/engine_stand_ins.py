"""Stand-ins for trtexec and nvidia-smi, for a machine that has neither.

They are executables on PATH. ``trtexec`` prints the banner, the help and the errors of the real one
as public logs show them, records how it was called, and writes a file in place of a plan; it can
fail, leave no plan, be killed half-way or never end. ``nvidia-smi`` answers the one query.

What tests with them prove: which commands are run and with what, what becomes of their files, and
what a person is told. What they do not: that a real trtexec takes these options, that a plan comes
out of it, and that Triton loads it. Nothing here has a GPU to show that.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import onnx
import pytest

from builder.cli import main
from builder.pipelines.repository import build_pipeline
from builder.settings import BuildSettings, Runtime, Shape
from builder.tensorrt.plan import Machine
from tests.tiny_detector import save_tiny_detector

TRTEXEC = """#!{python}
import hashlib, json, os, signal, sys, time
from pathlib import Path

home = Path(__file__).parent
told = json.loads((home / "told.json").read_text())
with (home / "calls.jsonl").open("a") as calls:
    names = ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER")
    environment = {{name: os.environ.get(name) for name in names}}
    calls.write(json.dumps({{"arguments": sys.argv[1:], "environment": environment}}) + "\\n")
version = f"[TensorRT v{{told['version']}}] [b{{told['build']}}]"
banner = " ".join(["TensorRT.trtexec", version, "#", *sys.argv])
print("&&&& RUNNING", banner, flush=True)
if "--help" in sys.argv:
    print("=== Build Options ===", *told["options"], sep="\\n  ")
    sys.exit(0)
given = dict(argument.partition("=")[::2] for argument in sys.argv[1:])
unknown = [name for name in given if name not in told["options"]]
if unknown:
    print("[11/21/2026-08:10:57] [E] Unknown option:", unknown[0])
    print("&&&& FAILED", banner)
    sys.exit(1)
network, plan = Path(given["--onnx"]).read_bytes(), Path(given["--saveEngine"])
print("[11/21/2026-08:10:57] [I] [TRT] Local timing cache in use.", flush=True)
if told["ends"] == "fails":
    plan.write_bytes(b"half a pl")
    print("[11/21/2026-08:10:58] [E] Error[4]: In node 3 with name: /nms and operator: NonZero")
    for line in ("Failed to parse onnx file", "Parsing model failed", "Engine set up failed"):
        print("[11/21/2026-08:10:58] [E]", line)
    print("&&&& FAILED", banner)
    sys.exit(1)
if told["ends"] == "killed":
    plan.write_bytes(b"half a pl")
    os.kill(os.getpid(), signal.SIGKILL)
if told["ends"] == "never":
    plan.write_bytes(b"half a pl")
    (home / "hangs").write_text(str(os.getpid()))
    time.sleep(600)
if told["ends"] == "without a plan":
    sys.exit(0)
while told["waits_for"] and not Path(told["waits_for"]).exists():
    time.sleep(0.05)
if told["overwrites"]:
    Path(told["overwrites"]).write_bytes(b"another network")
plan.write_bytes(b"plan of " + hashlib.sha256(network).hexdigest().encode())
timings = Path(given["--timingCacheFile"])
timings.write_text((timings.read_text() if timings.exists() else "") + "measured ")
print("[11/21/2026-08:12:57] [I] Engine built in 120.1 sec.")
print("&&&& PASSED", banner)
"""

NVIDIA_SMI = """#!{python}
import json, sys
from pathlib import Path

home = Path(__file__).parent
assert sys.argv[-2:] == ["--query-gpu=name,compute_cap", "--format=csv,noheader"], sys.argv
index = sys.argv[sys.argv.index("-i") + 1] if "-i" in sys.argv else None
gpus = json.loads((home / "told.json").read_text())["gpus"]
if not gpus or (index and int(index) >= len(gpus)):
    print("No devices were found")
    sys.exit(6)
for gpu in gpus if index is None else [gpus[int(index)]]:
    print(gpu)
"""

SHARED_OPTIONS = (
    *("--onnx", "--saveEngine", "--minShapes", "--optShapes", "--maxShapes", "--memPoolSize"),
    *("--timingCacheFile", "--skipInference", "--noTF32", "--versionCompatible"),
)
TENSORRT_10 = (*SHARED_OPTIONS, "--profile", "--stronglyTyped", "--fp16", "--best")
TENSORRT_11 = (*SHARED_OPTIONS, "--profile")
TENSORRT_8 = (*SHARED_OPTIONS, "--fp16", "--best")
NAMING_FILES = ("--onnx", "--saveEngine", "--timingCacheFile")

# What the stand-ins say until they are told otherwise.
L4 = Machine("10.5.0.18", "8.9", "NVIDIA L4")


def tensorrt_repository(
    folder: Path,
    name: str = "tiny",
    detector: onnx.ModelProto | None = None,
    **settings: object,
) -> Path:
    """Build a pipeline of the tiny detector whose network is a TensorRT plan."""
    options = {
        "max_batch": 4,
        "runtime": Runtime.TENSORRT,
        "shape": Shape.SQUARE,
        **settings,
    }
    model = save_tiny_detector(folder / "tiny.onnx", detector)
    build_pipeline(model, folder / "r", BuildSettings(name, **options))
    return folder / "r"


def network_folder(repository: Path, version: int = 1) -> Path:
    return repository / "tiny_network" / str(version)


def engine(repository: Path, *options: str) -> int:
    return main(["engine", "--repository", str(repository), *options])


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


class StandIns:
    """The two stand-ins in a folder of their own; ``tell`` changes what they do."""

    def __init__(self, home: Path) -> None:
        self.home = home
        home.mkdir()
        for name, script in (("trtexec", TRTEXEC), ("nvidia-smi", NVIDIA_SMI)):
            (home / name).write_text(script.format(python=sys.executable))
            (home / name).chmod(0o755)
        self.told: dict[str, object] = {}
        self.tell(
            version="100500",
            build="18",
            options=TENSORRT_10,
            ends="well",
            gpus=["NVIDIA L4, 8.9"],
            overwrites=None,
            waits_for=None,
        )

    def tell(self, **told: object) -> None:
        self.told.update(told)
        (self.home / "told.json").write_text(json.dumps(self.told))

    def put_on_path(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", f"{self.home}{os.pathsep}{os.environ['PATH']}")

    @property
    def builds(self) -> list[dict[str, object]]:
        """The calls that were to compile something: arguments and environment."""
        file = self.home / "calls.jsonl"
        calls = (
            [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
        )
        return [call for call in calls if "--help" not in call["arguments"]]

    def build_options(self, index: int = -1) -> list[str]:
        """The options of one build but for those that name files."""
        arguments = self.builds[index]["arguments"]
        assert isinstance(arguments, list)
        return [each for each in arguments if not each.startswith(NAMING_FILES)]

    def option(self, name: str, index: int = -1) -> str:
        """The value of one option of a build."""
        arguments = self.builds[index]["arguments"]
        assert isinstance(arguments, list)
        return next(each.split("=", 1)[1] for each in arguments if each.startswith(f"{name}="))
