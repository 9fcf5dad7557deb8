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
from builder.benchmark.labelled_images import labelled_files, lost_map
from builder.benchmark.precision_match import no_bfloat16
from builder.benchmark.repositories import link_pipeline, pipeline_in, whole_frames_pipeline
from builder.benchmark.serving import measured_server
from builder.benchmark.shape_targets import rect_targets, shaped
from builder.settings import Precision, Shape
from thin_client.contract import model_names

CONCURRENCY, SIZE = 8, (1920, 1080)


def rect_match(setup: Setup) -> Match:
    """Compare a pipeline with itself when its frames are whole, and with itself in bfloat16.

    The network is the pipeline's own in all of them.
    """
    manifest = setup.manifest
    title = (
        f"The pipeline's own network, {SIZE[0]}x{SIZE[1]} JPEGs, {CONCURRENCY} in flight: the "
        "smallest rectangles and whole frames"
    )
    if manifest.shape is not Shape.RECT:
        why_not = f"the frames of {manifest.name} are whole: build it with --shape rect"
        return Match(title, {}, {}, rect_targets({}, None, why_not=why_not))
    why_not_bfloat16 = no_bfloat16(setup)
    files, why_not_lost = labelled_files(setup)
    names = model_names(manifest.name)
    with ExitStack() as stack:
        folder = working_folder(stack)
        frames = resized_jpegs(setup.images, *SIZE, folder / "frames")
        data = image_data(frames, folder / "frames.json")
        repositories = {
            (Shape.SQUARE, ""): whole_frames_pipeline(
                setup.repository, manifest, folder / "square"
            ),
            (Shape.RECT, ""): link_pipeline(setup.repository, manifest.name, folder / "rect"),
        }
        if not why_not_bfloat16:
            repositories[Shape.RECT, t.BFLOAT16] = pipeline_in(
                Precision.BF16, setup.repository, manifest, folder / "bfloat16"
            )
        servers = {
            kind: stack.enter_context(measured_server(repository))
            for kind, repository in repositories.items()
        }
        match = Servers(setup, "rect")
        contestants = {
            shaped(variant, *kind): match.served(
                shaped(variant, *kind), server, model, data, CONCURRENCY
            )
            for kind, server in servers.items()
            for variant, model in ((t.ENSEMBLE, names.ensemble), (t.BLS, names.bls))
        }
        rounds = play_rounds(setup, "shapes of frames", contestants)
        urls = [servers[shape, ""].target.grpc_url for shape in (Shape.SQUARE, Shape.RECT)]
        targets = rect_targets(
            rounds,
            lost_map(setup, "shapes of frames", files, urls),
            why_not_bfloat16=why_not_bfloat16,
            why_not_lost=why_not_lost,
        )
        return Match(title, rounds, match.profiles, targets)
