"""What the project wants of its speed, each target a ratio taken in one run."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from builder.benchmark.sample import Ratio, Rounds, Sample, ratio
from builder.settings import Decoder

ENSEMBLE, BLS = "ensemble", "BLS"
USUAL = "usual recipe"
CLIENT_SIDE = "client does the work"
CLIENT_TENSORS = "tensors, made before"
DECODE = "decode limit"
STREAMS, SHARED = "in process, streams", "in process, shared"
ULTRALYTICS = "ultralytics predict"
LITSERVE = "ultralytics predict behind LitServe"
CLIENT_FRAMES = "client does the work, uint8 frames"
CLIENT_FP32 = "client does the work, FP32 tensors"
FLOAT32, BFLOAT16 = "float32", "bfloat16"
ENSEMBLE_UNBATCHED, BLS_UNBATCHED = "ensemble, no batching", "BLS, no batching"


def decoded(contestant: str, decoder: Decoder, *, alone: bool = False) -> str:
    """Return the name of a contestant that decodes JPEGs in one of the two ways.

    Args:
        contestant: ensemble, BLS or decode limit.
        decoder: the way.
        alone: whether with one request in flight, on one core.
    """
    lonely = (", 1 core" if contestant == DECODE else ", 1 in flight") if alone else ""
    return f"{contestant}, {decoder.value}{lonely}"


@dataclass(frozen=True)
class Target:
    """One target.

    Attributes:
        number: as docs/benchmark.md has it, with a letter for its part or before it.
        meaning: in words.
        goal: of the ratio, or of a number of images a second.
        at_most: whether less is better.
        found: what came out, or None.
        why_not: if nothing did, why.
        absolute: whether it is a whole number by itself and no ratio.
    """

    number: str
    meaning: str
    goal: float
    at_most: bool
    found: Ratio | None
    why_not: str = ""
    absolute: bool = False

    @property
    def reached(self) -> bool | None:
        """Whether the median keeps the goal; None where nothing was measured."""
        if self.found is None:
            return None
        return self.found.median <= self.goal if self.at_most else self.found.median >= self.goal

    @property
    def line(self) -> str:
        """The target in the form that scripts read."""
        goal = f"{self.goal:.0f}" if self.absolute else f"{self.goal}"
        if self.at_most:
            goal = f"at most {goal}"
        if self.found is None:
            return f"target {self.number}: not measured (goal {goal}; {self.why_not})"
        found = self.found
        digits = 0 if self.absolute else 4 if self.goal < 0.1 else 2 if self.goal < 2 else 1
        spread = f"{found.low:.{digits}f} to {found.high:.{digits}f}"
        return (
            f"target {self.number}: {found.median:.{digits}f} (goal {goal}; {spread} over "
            f"{found.rounds} rounds)"
        )


@dataclass(frozen=True)
class Advantage:
    """What one contestant has over another.

    Attributes:
        words: which over which.
        throughput: of the one over that of the other.
        cpu: CPU time of an image with the other over that with the one.
    """

    words: str
    throughput: Ratio
    cpu: Ratio


def stub_targets(rounds: Rounds, decoder: Decoder) -> tuple[Target, ...]:
    """Return targets 1a, 1b and 5 from rounds with the stub network and 1080p JPEGs."""
    served = [decoded(variant, decoder) for variant in (ENSEMBLE, BLS)]
    alone = [decoded(variant, decoder, alone=True) for variant in (ENSEMBLE, BLS)]
    decode = decoded(DECODE, decoder)
    decode_alone = decoded(DECODE, decoder, alone=True)
    best = fastest(rounds, *served)
    cheapest = min(served, key=lambda name: _median(_cpu_ms(rounds[name])))
    quickest = min(alone, key=lambda name: _median(_p50_ms(rounds[name])))
    return (
        Target(
            "1a",
            f"throughput of {best} over {USUAL}",
            6.0,
            False,
            ratio(throughput(rounds[best]), throughput(rounds[USUAL])),
        ),
        Target(
            "1b",
            f"CPU time of {decode} over {cheapest}",
            0.85,
            False,
            ratio(_cpu_ms(rounds[decode]), _cpu_ms(rounds[cheapest])),
        ),
        Target(
            "5",
            f"latency of {quickest} over {decode_alone}",
            1.5,
            True,
            ratio(_p50_ms(rounds[quickest]), _p50_ms(rounds[decode_alone])),
        ),
    )


def network_targets(rounds: Rounds, why_no_ultralytics: str) -> tuple[Target, ...]:
    """Return targets 2a and 2b from rounds with the real network."""
    best = fastest(rounds, ENSEMBLE, BLS)
    loop = fastest(rounds, STREAMS, SHARED)
    own = rounds.get(ULTRALYTICS)
    return (
        Target(
            "2a",
            f"throughput of {best} over {loop}",
            0.95,
            False,
            ratio(throughput(rounds[best]), throughput(rounds[loop])),
        ),
        Target(
            "2b",
            f"throughput of {best} over {ULTRALYTICS}",
            2.0,
            False,
            ratio(throughput(rounds[best]), throughput(own)) if own else None,
            why_no_ultralytics,
        ),
    )


def peer_targets(rounds: Rounds, why_no_litserve: str) -> tuple[Target, ...]:
    """Return target p5 from rounds with what users would pick instead."""
    best = fastest(rounds, ENSEMBLE, BLS)
    theirs = rounds.get(LITSERVE)
    return (
        Target(
            "p5",
            f"throughput of {best} over {LITSERVE}",
            2.0,
            False,
            ratio(throughput(rounds[best]), throughput(theirs)) if theirs else None,
            why_no_litserve,
        ),
    )


def advantages(rounds: Rounds) -> tuple[Advantage, ...]:
    """Return what the faster of ours has over every other contestant."""
    best = fastest(rounds, ENSEMBLE, BLS)
    ours = rounds[best]
    return tuple(
        Advantage(
            f"{best} over {name}",
            ratio(throughput(ours), throughput(theirs)),
            ratio(_cpu_ms(theirs), _cpu_ms(ours)),
        )
        for name, theirs in rounds.items()
        if name not in {ENSEMBLE, BLS}
    )


def batching_targets(rounds: Rounds) -> tuple[Target, ...]:
    """Return target 3 from rounds with a network of 10 ms and 640x480 JPEGs."""
    best = fastest(rounds, ENSEMBLE, BLS)
    without = {ENSEMBLE: ENSEMBLE_UNBATCHED, BLS: BLS_UNBATCHED}[best]
    found = ratio(throughput(rounds[best]), throughput(rounds[without]))
    return (Target("3", f"throughput of {best} over {without}", 5.0, False, found),)


def precision_targets(
    rounds: Rounds | None, lost: float | None, why_not: str, why_not_lost: str
) -> tuple[Target, ...]:
    """Return targets p1 and p2 from rounds with the pipeline's own network in two precisions.

    Args:
        rounds: those rounds; None where the processor computes no bfloat16.
        lost: of mAP50-95, by the same images in bfloat16; None where there were none with labels.
        why_not: there are no rounds.
        why_not_lost: nothing is known of what is lost.
    """
    return (
        Target(
            "p1",
            f"throughput in {BFLOAT16} over {FLOAT32}",
            1.5,
            False,
            ratio(throughput(rounds[BFLOAT16]), throughput(rounds[FLOAT32])) if rounds else None,
            why_not,
        ),
        Target(
            "p2",
            f"mAP50-95 lost by {BFLOAT16}",
            0.005,
            True,
            None if lost is None else Ratio(lost, lost, lost, 1),
            why_not or why_not_lost,
        ),
    )


def wire_target(image_bytes: Sequence[int], tensor_bytes: int, rounds: int) -> Target:
    """Return target 4: bytes of a request with a tensor over the mean of those with a JPEG.

    Bytes are the same in every round; how the images differ is in the words.
    """
    mean = tensor_bytes / (sum(image_bytes) / len(image_bytes))
    low, high = tensor_bytes / max(image_bytes), tensor_bytes / min(image_bytes)
    return Target(
        "4",
        f"bytes of an FP32 tensor over those of a JPEG ({low:.0f} to {high:.0f} by image)",
        25.0,
        False,
        Ratio(mean, mean, mean, rounds),
    )


def gpu_target(rounds: Rounds | None, why_not: str = "") -> Target:
    """Return target 6 from rounds with the network on a GPU and 1080p JPEGs, or why there are none.

    Images a second, of what is not compared with anything: it counts on one H200 with 16 cores.
    """
    number, goal = "6", 2000.0
    if rounds is None:
        meaning = "1920x1080 JPEGs to boxes a second, network on a GPU"
        return Target(number, meaning, goal, False, None, why_not, absolute=True)
    best = fastest(rounds, ENSEMBLE, BLS)
    values = throughput(rounds[best])
    found = Ratio(statistics.median(values), min(values), max(values), len(values))
    meaning = f"1920x1080 JPEGs to boxes a second by {best}, network on a GPU"
    return Target(number, meaning, goal, False, found, absolute=True)


def fastest(rounds: Rounds, *names: str) -> str:
    """Return which of these has the best median throughput."""
    return max(names, key=lambda name: _median(throughput(rounds[name])))


def throughput(samples: Sequence[Sample]) -> list[float]:
    """Return images a second of each sample."""
    return [sample.images_per_s for sample in samples]


def _cpu_ms(samples: Sequence[Sample]) -> list[float]:
    return [sample.cpu_ms or 0.0 for sample in samples]


def _p50_ms(samples: Sequence[Sample]) -> list[float]:
    return [sample.p50_ms for sample in samples]


def _median(values: Sequence[float]) -> float:
    ordered = sorted(values)
    return ordered[len(ordered) // 2]
