"""The match of dynamic batching with none, for a network as fast with a batch as with one image."""

from __future__ import annotations

from contextlib import ExitStack

from builder.benchmark import targets as t
from builder.benchmark.comparison import (
    Match,
    Servers,
    Setup,
    image_data,
    play_rounds,
    working_folder,
)
from builder.benchmark.frames import resized_jpegs
from builder.benchmark.repositories import stub_pipeline
from builder.benchmark.serving import measured_server
from thin_client.contract import model_names

# Of performance.md's targets.
CONCURRENCY, SIZE, DELAY_MS = 32, (640, 480), 10


def batching_match(setup: Setup) -> Match:
    """Compare dynamic batching with none, for a network as fast with a batch as with one image."""
    names = model_names(setup.manifest.name)
    with ExitStack() as stack:
        folder = working_folder(stack)
        frames = resized_jpegs(setup.images, *SIZE, folder / "frames")
        data = image_data(frames, folder / "frames.json")
        batched, single = (
            stack.enter_context(
                measured_server(
                    stub_pipeline(
                        setup.repository,
                        setup.manifest,
                        setup.baselines,
                        folder / f"batching_{batching}",
                        delay_ms=DELAY_MS,
                        batching=batching,
                    )
                )
            )
            for batching in (True, False)
        )
        match = Servers(setup, "batching")
        entries = (
            (t.ENSEMBLE, batched, names.ensemble),
            (t.BLS, batched, names.bls),
            (t.ENSEMBLE_UNBATCHED, single, names.ensemble),
            (t.BLS_UNBATCHED, single, names.bls),
        )
        contestants = {
            title: match.served(title, server, model, data, CONCURRENCY)
            for title, server, model in entries
        }
        rounds = play_rounds(setup, "dynamic batching", contestants)
        return Match(
            f"A network that takes {DELAY_MS} ms for any batch, "
            f"{SIZE[0]}x{SIZE[1]} JPEGs, {CONCURRENCY} in flight",
            rounds,
            match.profiles,
            t.batching_targets(rounds),
        )
