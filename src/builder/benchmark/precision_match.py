"""The match of precisions: the pipeline's own network in float32 and in bfloat16."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from builder.benchmark import targets as t
from builder.benchmark.comparison import (
    Match,
    Servers,
    Setup,
    image_data,
    play_rounds,
    working_folder,
)
from builder.benchmark.labelled_images import labelled_files, lost_map
from builder.benchmark.repositories import pipeline_in
from builder.benchmark.serving import measured_server
from builder.errors import PrecisionError, TuningError
from builder.pipelines.manifest import Manifest
from builder.pipelines.model_configs import NETWORK_FILE
from builder.precision.network_speed import measure_speed
from builder.settings import Precision
from builder.tuning.retuning import check_retunable
from thin_client.contract import model_names

CONCURRENCY = 8
CONTESTANTS = {t.FLOAT32: Precision.FP32, t.BFLOAT16: Precision.BF16}


def precision_match(setup: Setup) -> Match:
    """Compare the pipeline in float32 and in bfloat16: how fast, and what is found.

    Where the processor computes no bfloat16 nothing is measured.
    """
    manifest = setup.manifest
    title = f"The pipeline's own network in two precisions, {CONCURRENCY} in flight"
    if why_not := no_bfloat16(setup):
        return Match(title, {}, {}, t.precision_targets(None, None, why_not, ""))
    files, why_not_lost = labelled_files(setup)
    with ExitStack() as stack:
        folder = working_folder(stack)
        data = image_data(setup.images, folder / "images.json")
        match = Servers(setup, "precision")
        servers = {
            name: stack.enter_context(
                measured_server(
                    pipeline_in(precision, setup.repository, manifest, folder / precision.value)
                )
            )
            for name, precision in CONTESTANTS.items()
        }
        ensemble = model_names(manifest.name).ensemble
        contestants = {
            name: match.served(name, server, ensemble, data, CONCURRENCY)
            for name, server in servers.items()
        }
        rounds = play_rounds(setup, "precision", contestants)
        urls = [servers[name].target.grpc_url for name in CONTESTANTS]
        lost = lost_map(setup, "precision", files, urls)
        return Match(
            title, rounds, match.profiles, t.precision_targets(rounds, lost, "", why_not_lost)
        )


def no_bfloat16(setup: Setup) -> str:
    """Return why bfloat16 cannot be measured here, or nothing."""
    folder = _network_folder(setup.repository, setup.manifest)
    file = folder / NETWORK_FILE
    try:
        check_retunable(setup.repository, setup.manifest, precision=True)
        measure_speed(folder, (file, Precision.BF16), file, rounds=1)
    except (PrecisionError, TuningError) as reason:
        # Without what to do about it, which is about builds.
        return str(reason).rpartition(": ")[0]
    return ""


def _network_folder(repository: Path, manifest: Manifest) -> Path:
    return repository / model_names(manifest.name).network / str(manifest.version)
