"""The runtime of the network in Python: OpenVINO.

To use another one, change this file and ``compilation.py``.

OpenVINO rather than ONNX Runtime because, served on the same two cores, it answered up to 1.2 times
as many frames with less memory, and gives the same candidates while held at float32
(docs/performance.md).
"""

from __future__ import annotations

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np

from compilation import Compilation
from freed_memory import return_memory
from wanted_compilations import Kind, WantedCompilations

# isort: split
# After compilation, which keeps it from telling anybody that it was imported.
import openvino as ov

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


# As the builder writes it into a version's settings: float32 weights, computed in bfloat16.
BFLOAT16 = "bf16"
# Frames that run one after the other, all cores on each, in the time of one on one core: at least.
LEAST_GAIN = 2.0
TIMED_RUNS = 2
# Frames of fewer pixels than the largest by so many times gain nothing by a compilation of theirs.
# Those of `framewire serve`, which asks whether a server that nobody calls still answers, are such.
TINY = 8
# Seconds after a compilation until what it left behind is given back: under load, 10 MB of it are
# freed only then.
LEFT_BEHIND_S = 5.0


class Network:
    """A network, compiled for what is asked of it.

    One frame is done soonest when all cores share it. Many are done soonest when each core has one
    of its own: nothing is waited for inside a frame. And a compilation for one size of frames takes
    a tenth less time for each than one for all sizes. So there may be many, and most are made when
    they are wanted, in a thread of their own. What they are wanted for is answered meanwhile by the
    first one, which is made at once: for any size that may come, one frame on all cores.

    Args:
        onnx_file: a network as the builder writes it: uint8 ``[n, height, width, 3]`` in, float32
            ``[n, K, 6]`` out.
        cores: that it may keep busy.
        largest: height and width of the largest frame, where the file leaves them open.
        precision: of the build's settings. ``bf16`` is computed in bfloat16 where the processor
            does, and everything else in what the file says.
        least_side: of the smallest frame, pixels; 0 where all frames are of the largest size.

    Attributes:
        remark: what a person should know about the precision, or nothing.
        gain: how many frames run one after the other, each on all cores, in the time of as many as
            there are cores, each on one; as measured when there was a load, and until then the
            least that is assumed.

    Raises:
        RuntimeError: OpenVINO cannot read or compile the file.
    """

    def __init__(
        self,
        onnx_file: Path,
        cores: int,
        largest: tuple[int, int],
        precision: str = "fp32",
        least_side: int = 0,
    ) -> None:
        self._cores = cores
        self._core = ov.Core()
        self._arithmetic, self.remark = _arithmetic(self._core, precision)
        # Kept, because what is compiled of its copies shares its weights.
        self._model = self._core.read_model(onnx_file)
        sides = list(self._model.input(0).get_partial_shape())[1:3]
        self._any_size = bool(least_side) and all(side.is_dynamic for side in sides)
        height, width = (
            most if side.is_dynamic else side.get_length()
            for side, most in zip(sides, largest, strict=True)
        )
        self._largest = height, width
        if not self._any_size:
            _reshape(self._model, height, width)
        self.gain = LEAST_GAIN
        self._first = self._compile(self._model, at_once=1)
        self._any_apart: Compilation | None = None
        self._own: dict[Kind, Compilation] = {}
        self._wanted = WantedCompilations()
        self._any_apart_wanted = False
        self._lock = threading.Lock()
        self._compiling = ThreadPoolExecutor(1, thread_name_prefix="compile")
        self._returning: threading.Timer | None = None
        # A strip, where it may be one; room for larger frames is made when they come.
        self._smallest = _grey(least_side if self._any_size else height, width)
        # The first run initialises what the first camera should not wait for, and shows that it
        # runs.
        self._first.warm_up(self._smallest)
        return_memory()

    @property
    def grey_frame(self) -> NDArray[np.uint8]:
        """Return uint8 ``[1, height, width, 3]``, all padding, of the largest size."""
        return _grey(*self._largest)

    @property
    def no_candidates(self) -> NDArray[np.float32]:
        """Return float32 ``[1, K, 6]``, all zeros."""
        _, rows, columns = self._first.output_shape
        return np.zeros((1, rows.get_length(), columns.get_length()), np.float32)

    def infer(self, frames: NDArray[np.uint8], *, alone: bool) -> NDArray[np.float32]:
        """Run a frame; threads that are more than the cores wait for each other.

        Args:
            frames: uint8 ``[1, height, width, 3]``, BGR.
            alone: whether on all cores, else on one, as soon as there is a compilation for that.

        Returns:
            float32 ``[1, K, 6]``, a copy that stays valid.
        """
        _, height, width, _ = frames.shape
        kind = Kind(height, width, alone or self._cores == 1)
        return self._compilation(kind).infer(frames)

    def settle(self) -> None:
        """Wait until everything is made that is wanted so far."""
        self._compiling.submit(lambda: None).result()

    def close(self) -> None:
        """Make nothing more."""
        self._compiling.shutdown(wait=True, cancel_futures=True)
        if self._returning is not None:
            self._returning.cancel()

    def _compilation(self, kind: Kind) -> Compilation:
        """Return the best there is for a kind, and have a better one made where it is worth it."""
        with self._lock:
            if self._is_worth_its_own(kind):
                now, going = self._wanted.came(kind)
                if going is not None:
                    self._own.pop(going, None)
                if now:
                    self._compiling.submit(self._make_own, kind)
                elif not kind.alone and kind not in self._own and self._wanted.is_mix():
                    self._want_any_apart()
            found = self._own.get(kind)
            if found is None and not kind.alone:
                found = self._any_apart
            return found or self._first

    def _is_worth_its_own(self, kind: Kind) -> bool:
        if not self._any_size:
            # The first one is of their size.
            return not kind.alone
        return kind.height * kind.width * TINY >= self._largest[0] * self._largest[1]

    def _want_any_apart(self) -> None:
        if not self._any_apart_wanted:
            self._any_apart_wanted = True
            self._compiling.submit(self._make_any_apart)

    def _make_own(self, kind: Kind) -> None:
        try:
            model = self._model
            if self._any_size:
                model = model.clone()
                _reshape(model, kind.height, kind.width)
            made = self._compile(model, at_once=1 if kind.alone else self._cores)
            del model
            frame = _grey(kind.height, kind.width)
            made.warm_up(frame)
            # Nobody asks for it where no more than one frame can be left over.
            if not kind.alone and self._cores > LEAST_GAIN:
                self._measure_gain(kind, made, frame)
        except Exception as error:  # noqa: BLE001 - what there was before goes on
            with self._lock:
                self._wanted.refuse(kind)
            _tell(f"frames of {kind.width}x{kind.height} have no compilation of their own", error)
            return
        with self._lock:
            # Another may have taken its place meanwhile.
            if self._wanted.has(kind):
                self._own[kind] = made
        if self._any_size:
            # It keeps room for frames of each size that it ran, and will hardly run these again.
            self._first.release()
        self._return_memory()

    def _make_any_apart(self) -> None:
        try:
            made = self._compile(self._model, at_once=self._cores)
            made.warm_up(self._smallest)
        except Exception as error:  # noqa: BLE001 - likewise
            _tell("frames of rare sizes are run one after the other", error)
            return
        self._any_apart = made
        self._return_memory()

    def _return_memory(self) -> None:
        return_memory()
        if self._returning is not None:
            self._returning.cancel()
        self._returning = threading.Timer(LEFT_BEHIND_S, return_memory)
        self._returning.daemon = True
        self._returning.start()

    def _measure_gain(self, kind: Kind, apart: Compilation, frame: NDArray[np.uint8]) -> None:
        alone = self._own.get(kind._replace(alone=True), self._first)
        seconds = [each.measure(frame, TIMED_RUNS) for each in (apart, alone)]
        self.gain = max(LEAST_GAIN, seconds[0] / seconds[1])

    def _compile(self, model: ov.Model, *, at_once: int) -> Compilation:
        return Compilation(self._core, model, self._cores, self._arithmetic, at_once)


def _reshape(model: ov.Model, height: int, width: int) -> None:
    """Make a model one for single frames of a size; one that cannot be stays as it is."""
    with suppress(RuntimeError):
        model.reshape([1, height, width, 3])


def _grey(height: int, width: int) -> NDArray[np.uint8]:
    return np.full((1, height, width, 3), 114, np.uint8)


def _tell(what: str, error: Exception) -> None:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
    print(f"framewire: {what} ({reason})", file=sys.stderr, flush=True)


def computes_bfloat16(core: ov.Core) -> bool:
    """Return whether the processor has instructions for it; OpenVINO would emulate them."""
    return "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def _arithmetic(core: ov.Core, precision: str) -> tuple[ov.Type, str]:
    """Return what is computed in, and what a person should know about it."""
    if precision != BFLOAT16:
        return ov.Type.f32, ""
    if computes_bfloat16(core):
        return ov.Type.bf16, ""
    return ov.Type.f32, (
        "this processor computes no bfloat16 (the flags in /proc/cpuinfo have neither avx512_bf16 "
        "nor amx_bf16), so that float32 is computed instead of --precision bf16"
    )
