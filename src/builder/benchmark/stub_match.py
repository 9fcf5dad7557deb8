"""The match of what surrounds the network: 1080p JPEGs, and a network that answers at once."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

import numpy as np

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
from builder.benchmark.input_data import write_tensor_data
from builder.benchmark.repositories import USUAL, stub_pipeline, usual_recipe
from builder.benchmark.sample import Sample
from builder.benchmark.serving import measured_server
from builder.benchmark.wire import image_request_bytes, tensor_request_bytes
from builder.settings import Decoder
from thin_client.contract import model_names

# Of performance.md's targets.
CONCURRENCY, SIZE = 8, (1920, 1080)
# They were set for it; what comes of exact decoding stands beside them.
DECODER = Decoder.SCALED
USUAL_SIDE = 640


def stub_match(setup: Setup) -> Match:
    """Compare what surrounds the network: 1080p JPEGs, and a network that answers at once."""
    names = model_names(setup.manifest.name)
    with ExitStack() as stack:
        folder = working_folder(stack)
        frames = resized_jpegs(setup.images, *SIZE, folder / "frames")
        data = image_data(frames, folder / "frames.json")
        tensors = folder / "tensors.json"
        zeros = np.zeros((3, USUAL_SIDE, USUAL_SIDE), np.float32)
        write_tensor_data([zeros.tobytes()], zeros.shape, tensors, name="images")
        ours = {
            decoder: stub_pipeline(
                setup.repository,
                setup.manifest,
                setup.baselines,
                folder / f"pipeline_{decoder.value}",
                decoder=decoder,
            )
            for decoder in Decoder
        }
        servers = {
            decoder: stack.enter_context(measured_server(repository))
            for decoder, repository in ours.items()
        }
        usual = stack.enter_context(
            measured_server(usual_recipe(setup.baselines, folder / "usual"), tuned=False)
        )
        match = Servers(setup, "stub")
        contestants: dict[str, Callable[[], Sample]] = {
            t.USUAL: match.served(t.USUAL, usual, USUAL, data, CONCURRENCY),
            t.CLIENT_SIDE: partial(
                setup.loops.client_side,
                usual.target.grpc_url,
                folder / "frames",
                in_flight=CONCURRENCY,
            ),
            t.CLIENT_TENSORS: match.served(
                t.CLIENT_TENSORS, usual, "usual_network", tensors, CONCURRENCY
            ),
        }
        for decoder, server in servers.items():
            version = ours[decoder] / names.preprocess / str(setup.manifest.version)
            decode = partial(setup.loops.decode_limit, version, folder / "frames")
            for alone in (False, True):
                title = t.decoded(t.DECODE, decoder, alone=alone)
                contestants[title] = partial(decode, workers=1 if alone else setup.cores)
                for variant, model in ((t.ENSEMBLE, names.ensemble), (t.BLS, names.bls)):
                    title = t.decoded(variant, decoder, alone=alone)
                    contestants[title] = match.served(
                        title, server, model, data, 1 if alone else CONCURRENCY
                    )
        rounds = play_rounds(setup, "stub network", contestants)
        wire = t.wire_target(
            [image_request_bytes(names.ensemble, file.read_bytes()) for file in frames],
            tensor_request_bytes(names.ensemble, setup.manifest.width, setup.manifest.height),
            setup.rounds,
        )
        return Match(
            f"Stub network that answers at once, {SIZE[0]}x{SIZE[1]} JPEGs, "
            f"{CONCURRENCY} in flight",
            rounds,
            match.profiles,
            (*t.stub_targets(rounds, DECODER), wire),
            t.stub_targets(rounds, Decoder.EXACT),
        )
