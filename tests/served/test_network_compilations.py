"""What the network compiles, when, and that all of it finds the same; in OpenVINO itself."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.conftest import ROOT, SERVED_MODELS

CODES = ROOT / "model_repository" / "codes_network" / "1" / "model.onnx"
PICTURE = ROOT / "samples" / "warehouse.jpg"
BEGIN = f"""
import json, sys
sys.path[:0] = {[str(SERVED_MODELS / name) for name in ("network", "shared")]}
import cv2
import numpy as np
import runtime
from pathlib import Path
from frame_runs import FrameRuns
from runtime import Network
from wanted_compilations import AGAIN

CORES = 2
picture = cv2.imread({str(PICTURE)!r})

def frame(height, width):
    return cv2.resize(picture, (width, height))[None]

def network(least_side, cores=CORES):
    return Network(Path({str(CODES)!r}), cores, (640, 640), "fp32", least_side)

def own(made):
    return sorted(list(kind) for kind in made._own)

def apart_by(found, first):
    # Where nothing is seen there is noise, whose order is anybody's.
    seen = first[..., 4] > 0.1
    assert seen.any()
    return float(np.abs(found - first)[seen].max())

def tell(**found):
    print(json.dumps(found))
"""


def told(code: str) -> dict[str, Any]:
    """Run code in a process of its own, as the network has one, and return what it tells."""
    done = subprocess.run(
        [sys.executable, "-c", BEGIN + code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return {**json.loads(done.stdout), "stderr": done.stderr}


def test_a_size_that_comes_again_gets_its_own_compilation_which_finds_the_same() -> None:
    found = told("""
made = network(32)
frame = frame(384, 640)
first = made.infer(frame, alone=True)
before = own(made)
for _ in range(AGAIN):
    made.infer(frame, alone=True)
    made.infer(frame, alone=False)
made.settle()
by_own = [made.infer(frame, alone=alone) for alone in (True, False)]
tell(before=before, after=own(made), apart=[apart_by(each, first) for each in by_own])
""")
    assert found["before"] == []
    assert found["after"] == [[384, 640, False], [384, 640, True]]
    # Pixels; kernels for one size add up in another order.
    assert max(found["apart"]) < 0.01


def test_frames_are_answered_while_a_compilation_is_made() -> None:
    found = told("""
import threading
made = network(32)
may_go_on, begun = threading.Event(), threading.Event()
compile_one = made._compile
def slow(*arguments, **named):
    begun.set()
    assert may_go_on.wait(60)
    return compile_one(*arguments, **named)
made._compile = slow
runs = FrameRuns(made, CORES)
frames = np.concatenate([frame(384, 640)] * 7)
(first,) = runs.run([frames], [lambda: False])
for _ in range(AGAIN):
    runs.run([frames], [lambda: False])
assert begun.wait(60)
answered = [len(runs.run([frames], [lambda: False])[0]) for _ in range(3)]
before = own(made)
may_go_on.set()
made.settle()
(last,) = runs.run([frames], [lambda: False])
tell(answered=answered, before=before, after=own(made), apart=apart_by(last, first))
""")
    assert found["answered"] == [7, 7, 7]
    assert found["before"] == []
    assert found["after"] == [[384, 640, False], [384, 640, True]]
    assert found["apart"] < 0.01


def test_more_sizes_than_there_is_room_for_are_answered_all_the_same() -> None:
    found = told("""
made = network(32)
sizes = [(384, 640), (640, 384), (480, 640), (640, 480), (640, 640)]
firsts = [made.infer(frame(*size), alone=True) for size in sizes]
for _ in range(AGAIN + 4):
    for size in sizes[:2]:
        made.infer(frame(*size), alone=True)
        made.infer(frame(*size), alone=False)
made.settle()
for size in sizes:
    made.infer(frame(*size), alone=False)
made.settle()
lasts = [made.infer(frame(*size), alone=False) for size in sizes]
pairs = [apart_by(last, first) for last, first in zip(lasts, firsts)]
tell(own=own(made), rest=made._any_apart is not None, apart=pairs)
""")
    assert len(found["own"]) == 4
    assert found["rest"]
    assert max(found["apart"]) < 0.01


def test_tiny_frames_as_those_of_a_server_that_nobody_calls_get_none() -> None:
    found = told("""
made = network(32)
for _ in range(2 * AGAIN):
    made.infer(frame(32, 640), alone=True)
made.settle()
tell(own=own(made))
""")
    assert found["own"] == []


def test_frames_of_one_size_are_compiled_for_it_from_the_start() -> None:
    found = told("""
made = network(0)
first = made.infer(frame(640, 640), alone=True)
for _ in range(AGAIN):
    made.infer(frame(640, 640), alone=True)
    made.infer(frame(640, 640), alone=False)
made.settle()
shape = [int(side) for side in made._first.output_shape.to_shape()]
last = made.infer(frame(640, 640), alone=False)
tell(own=own(made), shape=shape, apart=apart_by(last, first))
""")
    assert found["own"] == [[640, 640, False]]
    assert found["shape"][0] == 1
    assert found["apart"] < 0.01


def test_one_core_needs_no_compilation_for_several() -> None:
    found = told("""
made = network(32, cores=1)
for _ in range(AGAIN):
    made.infer(frame(384, 640), alone=False)
made.settle()
tell(own=own(made))
""")
    assert found["own"] == [[384, 640, True]]


def test_a_compilation_that_fails_costs_nobody_an_answer_and_is_told_once() -> None:
    found = told("""
made = network(32)
def fail(*arguments, **named):
    raise RuntimeError("no room for that")
made._compile = fail
answers = [made.infer(frame(384, 640), alone=True).shape[0] for _ in range(AGAIN)]
made.settle()
answers += [made.infer(frame(384, 640), alone=True).shape[0] for _ in range(AGAIN)]
made.settle()
tell(answers=answers, own=own(made))
""")
    assert found["answers"] == [1] * 32
    assert found["own"] == []
    assert found["stderr"].count("have no compilation of their own (no room for that)") == 1


@pytest.mark.parametrize("cores", [1, 4])
def test_how_much_all_cores_gain_is_measured_where_it_is_asked_for(cores: int) -> None:
    found = told(f"""
made = network(32, cores={cores})
before = made.gain
for _ in range(AGAIN):
    made.infer(frame(384, 640), alone=False)
made.settle()
tell(before=before, after=made.gain)
""")
    assert found["before"] == 2.0
    assert found["after"] >= 2.0
