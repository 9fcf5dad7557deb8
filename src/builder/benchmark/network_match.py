"""The match of the whole pipeline: its own network, and the images as they are."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

from builder.benchmark import targets as t
from builder.benchmark.comparison import (
    Match,
    Servers,
    Setup,
    image_data,
    play_rounds,
    working_folder,
)
from builder.benchmark.predict import NO_ULTRALYTICS, fastest_predict
from builder.benchmark.repositories import link_pipeline
from builder.benchmark.sample import Sample
from builder.benchmark.serving import measured_server
from thin_client.contract import model_names

CONCURRENCY = 8


def network_match(setup: Setup) -> Match:
    """Compare the whole pipeline, with its own network and the images as they are."""
    manifest = setup.manifest
    names = model_names(manifest.name)
    with ExitStack() as stack:
        folder = working_folder(stack)
        (folder / "frames").mkdir()
        for number, file in enumerate(setup.images):
            (folder / "frames" / f"{number:03d}_{file.name}").symlink_to(file.resolve())
        data = image_data(setup.images, folder / "frames.json")
        ours = stack.enter_context(
            measured_server(link_pipeline(setup.repository, manifest.name, folder / "pipeline"))
        )
        match = Servers(setup, "network")
        loop = partial(
            setup.loops.in_process, setup.repository.resolve(), manifest, folder / "frames"
        )
        contestants: dict[str, Callable[[], Sample]] = {
            t.ENSEMBLE: match.served(t.ENSEMBLE, ours, names.ensemble, data, CONCURRENCY),
            t.BLS: match.served(t.BLS, ours, names.bls, data, CONCURRENCY),
            t.STREAMS: partial(loop, "streams"),
            t.SHARED: partial(loop, "shared"),
        }
        remarks: tuple[str, ...] = ()
        if setup.ultralytics is not None:
            predict = fastest_predict(setup, setup.ultralytics, folder / "frames")
            contestants[t.ULTRALYTICS] = predict.measure
            remarks = (
                f"{t.ULTRALYTICS}, in the match of the pipeline's own network: {predict.words}",
            )
        rounds = play_rounds(setup, "real network", contestants)
        return Match(
            f"The pipeline's own network ({manifest.source}, {manifest.width}x{manifest.height}), "
            f"the images as they are, {CONCURRENCY} in flight",
            rounds,
            match.profiles,
            t.network_targets(rounds, NO_ULTRALYTICS),
            remarks=remarks,
        )
