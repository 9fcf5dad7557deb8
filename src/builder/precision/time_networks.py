"""How fast two networks are in turn, run by the code of a version of the network step.

    python time_networks.py --code NAME_network/1 --network F.onnx fp32 --network F.onnx bf16

Frames come as they do under load: as many as there are cores and a few times over, through the
served ``FrameRuns``. Rounds alternate, so that noise hits both; every other round begins with the
other one. Prints JSON: ``images_per_s``, for each network a list with a number for each round; or
``remark``, why the runtime would compute one of them in something else.

A process of its own, because served code is never imported by the builder.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

# A turn of the slower network takes at least as long; all turns have as many frames.
TURN_S = 1.0


def main() -> None:
    """Print the result as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--code", type=Path, required=True)
    parser.add_argument("--network", nargs=2, action="append", metavar=("FILE", "PRECISION"))
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    sys.path.insert(0, str(arguments.code))

    from cores import allowed_cores  # type: ignore[import-not-found] # noqa: PLC0415
    from runtime import Network  # type: ignore[import-not-found] # noqa: PLC0415

    cores = allowed_cores()
    settings = json.loads((arguments.code / "settings.json").read_text())
    largest = int(settings["input_height"]), int(settings["input_width"])
    networks = [
        Network(Path(file), cores, largest, precision) for file, precision in arguments.network
    ]
    if remarks := [network.remark for network in networks if network.remark]:
        print(json.dumps({"remark": remarks[0]}))
        return
    runs = [partial(_run, frame_runs(network, cores), network) for network in networks]
    speeds = timed(runs, cores, arguments.rounds)
    print(json.dumps({"images_per_s": speeds}))


def frame_runs(network: Any, cores: int) -> Any:
    """Return the served way to run frames; making it runs a few, so that all is initialised."""
    from frame_runs import FrameRuns  # type: ignore[import-not-found] # noqa: PLC0415

    return FrameRuns(network, cores)


def timed(runs: Sequence[Callable[[int], None]], cores: int, rounds: int) -> list[list[float]]:
    """Return images a second of each in every round.

    Args:
        runs: each runs a number of frames.
        cores: that they keep busy.
        rounds: how many.
    """
    frames = cores
    while max(_seconds(run, frames) for run in runs) < TURN_S:
        frames *= 2
    speeds: list[list[float]] = [[] for _ in runs]
    for number in range(rounds):
        order = list(range(len(runs)))
        for index in order if number % 2 == 0 else reversed(order):
            speeds[index].append(frames / _seconds(runs[index], frames))
    return speeds


def _seconds(run: Callable[[int], None], frames: int) -> float:
    begun = time.perf_counter()
    run(frames)
    return time.perf_counter() - begun


def _run(runs: Any, network: Any, frames: int) -> None:
    frame = network.grey_frame
    for answer in runs.run([frame] * frames, [_never] * frames):
        if isinstance(answer, Exception):
            raise answer


def _never() -> bool:
    return False


if __name__ == "__main__":
    main()
