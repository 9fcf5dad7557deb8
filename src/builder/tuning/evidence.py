"""What a search and its confirmation found, to be kept beside the settings: as JSON and as text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from builder.benchmark.tables import Table
from builder.pipelines.manifest import Manifest
from builder.tuning.confirmation import Confirmation
from builder.tuning.parameters import Choice, Space
from builder.tuning.search import Search
from builder.tuning.trial import Held, Trial, VariantTrial

# In NAME/<version>/; Triton leaves them alone.
EVIDENCE_JSON, EVIDENCE_TEXT = "tuning.json", "tuning.txt"
# Of the same load on the same server. A machine left alone stays below.
UNQUIET_SPREAD = 0.2


@dataclass(frozen=True)
class Tuning:
    """All of one tuning.

    Attributes:
        manifest: of the version that was tuned.
        machine: facts in words, by what they are about.
        images: in words.
        bound_ms: of the 99th percentile.
        window_ms: of perf_analyzer, which takes three.
        space: the values that were tried.
        found: by the search.
        confirmation: of the best that was found; None where the present settings are the best.
    """

    manifest: Manifest
    machine: Mapping[str, str]
    images: str
    bound_ms: float
    window_ms: int
    space: Space
    found: Search
    confirmation: Confirmation | None

    @property
    def changes(self) -> bool:
        """Whether to change the settings."""
        return self.confirmation is not None and self.confirmation.wins

    @property
    def keeps_bound(self) -> bool:
        """Whether some settings keep the bound, also when they are measured again."""
        again = self.confirmation
        if again is None:
            return self.found.best.score is not None
        return again.winner_keeps or again.present_keeps

    @property
    def in_flight(self) -> dict[str, int]:
        """Requests in flight within the bound, by variant, with the settings to use."""
        used = self.found.best if self.changes else self.found.present
        return {each.model: each.held.in_flight for each in used.variants if each.held}

    @property
    def least_p99_ms(self) -> float:
        """The least 99th percentile that any settings had."""
        return min(trial.p99_ms for trial in self.found.trials)

    @property
    def sentence(self) -> str:
        """The verdict in words."""
        if not self.keeps_bound:
            return f"nothing keeps the bound: the least p99 was {self.least_p99_ms:.1f} ms"
        if self.confirmation is None:
            return "no settings were better than the present ones by more than the noise: they stay"
        return self.confirmation.sentence


def evidence_files(tuning: Tuning) -> dict[str, str]:
    """Return the texts of both files, by name."""
    text = json.dumps(_as_json(tuning), indent=1, ensure_ascii=False)
    return {EVIDENCE_JSON: text + "\n", EVIDENCE_TEXT: "\n".join(evidence_lines(tuning)) + "\n"}


def evidence_lines(tuning: Tuning) -> list[str]:
    """Return everything as text."""
    manifest, found = tuning.manifest, tuning.found
    lines = [
        f"{manifest.name} version {manifest.version}, p99 within {tuning.bound_ms:g} ms",
        f"images: {tuning.images}",
        *(f"{what}: {words}" for what, words in tuning.machine.items()),
        "",
    ]
    for number, variant in enumerate(found.present.variants):
        rows = [_row(trial.choice, trial.variants[number], found) for trial in found.trials]
        head = (
            *("", "threads", "batch", "decoder", "precision", "in flight"),
            *("images/s", "p50", "p99", "CPU ms"),
        )
        lines += [*Table(f"{variant.model}, by instances", head, tuple(rows)).lines(), ""]
    lines += ["* the best found; - no load keeps the bound, the quickest is shown", ""]
    if tuning.confirmation:
        lines += _round_lines(tuning.confirmation)
    if (spread := max(trial.spread for trial in found.trials)) > UNQUIET_SPREAD:
        lines.append(
            f"the same load on the same server differed by up to {spread:.0%}: leave the machine "
            "alone while it is tuned, or give it longer --trial-seconds"
        )
    return [
        *lines,
        f"present: {found.present.choice.words}",
        f"best found: {found.best.choice.words}",
        tuning.sentence,
        *(f"requests in flight: {count}, to {model}" for model, count in tuning.in_flight.items()),
    ]


def _row(choice: Choice, variant: VariantTrial, found: Search) -> tuple[str, ...]:
    held = variant.held
    point = held.points[0] if held else variant.quickest
    mark = "-" if not held else "*" if choice == found.best.choice else ""
    cpu = [each.cpu_ms for each in (held.points if held else (point,)) if each.cpu_ms is not None]
    return (
        f"{choice.instances}{mark}",
        str(choice.decode_threads or "auto"),
        str(choice.max_batch),
        choice.decoder.value,
        choice.precision.value,
        str(point.in_flight),
        f"{held.images_per_s if held else point.images_per_s:.1f}",
        f"{point.p50_ms:.1f}",
        f"{held.p99_ms if held else point.p99_ms:.1f}",
        f"{sum(cpu) / len(cpu):.1f}" if cpu else "?",
    )


def _round_lines(confirmation: Confirmation) -> list[str]:
    rows = [
        (
            f"{number}, {model}",
            *(
                f"{value:.1f}"
                for point in (present[model], winner[model])
                for value in (point.images_per_s, point.p99_ms)
            ),
        )
        for number, (present, winner) in enumerate(
            zip(confirmation.present, confirmation.winner, strict=True), start=1
        )
        for model in present
    ]
    head = ("round", "present images/s", "p99", "best found images/s", "p99")
    return [*Table("confirmation, by turns", head, tuple(rows)).lines(), ""]


def _as_json(tuning: Tuning) -> dict[str, object]:
    found, confirmation = tuning.found, tuning.confirmation
    return {
        "pipeline": tuning.manifest.name,
        "tuned_version": tuning.manifest.version,
        "machine": dict(tuning.machine),
        "images": tuning.images,
        "bound": {"p99_ms": tuning.bound_ms},
        "window_ms": tuning.window_ms,
        "tried": {
            name: [getattr(value, "value", value) for value in values]
            for name, values in tuning.space.items()
        },
        "trials": [_trial(trial) for trial in found.trials],
        "present": found.present.choice.values,
        "best": found.best.choice.values,
        "confirmation": confirmation
        and {
            "rounds": [
                {
                    "present": {model: asdict(point) for model, point in present.items()},
                    "best": {model: asdict(point) for model, point in winner.items()},
                }
                for present, winner in zip(confirmation.present, confirmation.winner, strict=True)
            ],
            "throughput_ratio": asdict(confirmation.ratio),
            "present_keeps_bound": confirmation.present_keeps,
            "best_keeps_bound": confirmation.winner_keeps,
        },
        "changes": tuning.changes,
        "requests_in_flight": tuning.in_flight,
        "verdict": tuning.sentence,
    }


def _trial(trial: Trial) -> dict[str, object]:
    return {
        "settings": trial.choice.values,
        "images_per_s_within_bound": trial.score,
        "variants": {
            each.model: {
                "held": each.held and _held(each.held),
                "measured": [asdict(point) for point in each.points],
            }
            for each in trial.variants
        },
    }


def _held(held: Held) -> dict[str, object]:
    return {
        "in_flight": held.in_flight,
        "images_per_s": held.images_per_s,
        "p99_ms": held.p99_ms,
        "spread": held.spread,
    }
