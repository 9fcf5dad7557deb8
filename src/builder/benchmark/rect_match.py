"""The match of the frames' shapes: the smallest rectangles against whole frames, 1080p JPEGs."""

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
from builder.benchmark.repositories import link_pipeline, whole_frames_pipeline
from builder.benchmark.serving import measured_server
from builder.settings import Shape
from thin_client.contract import model_names

CONCURRENCY, SIZE = 8, (1920, 1080)


def rect_match(setup: Setup) -> Match:
    """Compare a pipeline with itself when its frames are whole; its own network runs in both."""
    manifest = setup.manifest
    title = (
        f"The pipeline's own network, {SIZE[0]}x{SIZE[1]} JPEGs, {CONCURRENCY} in flight: the "
        "smallest rectangles and whole frames"
    )
    if manifest.shape is not Shape.RECT:
        why_not = f"the frames of {manifest.name} are whole: build it with --shape rect"
        return Match(title, {}, {}, (t.rect_target({}, why_not),))
    names = model_names(manifest.name)
    with ExitStack() as stack:
        folder = working_folder(stack)
        frames = resized_jpegs(setup.images, *SIZE, folder / "frames")
        data = image_data(frames, folder / "frames.json")
        repositories = {
            Shape.RECT: link_pipeline(setup.repository, manifest.name, folder / "rect"),
            Shape.SQUARE: whole_frames_pipeline(setup.repository, manifest, folder / "square"),
        }
        match, contestants = Servers(setup, "rect"), {}
        for shape, repository in repositories.items():
            server = stack.enter_context(measured_server(repository))
            for variant, model in ((t.ENSEMBLE, names.ensemble), (t.BLS, names.bls)):
                name = t.shaped(variant, shape)
                contestants[name] = match.served(name, server, model, data, CONCURRENCY)
        rounds = play_rounds(setup, "shapes of frames", contestants)
        return Match(title, rounds, match.profiles, (t.rect_target(rounds),))
