"""What a Triton that just started has loaded, and what it has not."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from builder.pipelines.pipeline_models import all_names, wanted_models
from builder.serving.load_failures import UNLOADED, short_reason
from builder.serving.server_options import ModelControl, ServerOptions
from builder.serving.version_states import VersionStates


@dataclass(frozen=True)
class Loaded:
    """What is served of a repository, and what is not.

    Attributes:
        models: that are served, by Triton's names, sorted.
        missing: why pipelines, and models of nobody's pipeline, are not served, by their names.
        halves: models that Triton has loaded though their pipeline is not served, those that call
            others first.
    """

    models: tuple[str, ...]
    missing: Mapping[str, str]
    halves: tuple[str, ...] = ()


def loaded(options: ServerOptions, states: VersionStates, reasons: Mapping[str, str]) -> Loaded:
    """Return what a Triton has loaded that has tried to load everything.

    A pipeline is served when every one of its models is ready.

    Args:
        options: it was started with.
        states: of its models, those that it never loaded among them.
        reasons: why models did not load, in Triton's words, as far as it said so.
    """
    ready = [model for model, versions in states.items() if "READY" in versions.values()]
    missing, halves = dict(options.left_out), list[str]()
    ours: set[str] = set()
    for name in all_names(options.repository):
        models = wanted_models(options.repository, name)
        ours.update(models)
        unready = [model for model in models if model not in ready]
        if unready and name not in missing:
            missing[name] = _sentence(unready, reasons)
        if name in missing:
            halves += [model for model in models if model in ready]
    for model in states:
        if model not in {*ours, *ready, *missing}:
            missing[model] = _sentence([model], reasons)
    served = (model for model in ready if model not in halves)
    return Loaded(tuple(sorted(served)), missing, tuple(halves))


def _sentence(unready: Iterable[str], reasons: Mapping[str, str]) -> str:
    told = {model: short_reason(reasons[model]) for model in unready if model in reasons}
    told = {model: why for model, why in told.items() if why != UNLOADED}
    if not told:
        # Steps are last, and what calls them is not loaded because they are not.
        return f"model {list(unready)[-1]} did not load: Triton's log (--verbose) says why"
    return "; ".join(f"model {model} did not load: {why}" for model, why in told.items())


def not_served_line(options: ServerOptions, name: str, why: str) -> str:
    """Return one line on a pipeline, or a model of nobody's pipeline, that is not served.

    Args:
        options: of the server.
        name: of it.
        why: in Triton's words, or in ours, which may say how to mend it.
    """
    ours = name in all_names(options.repository)
    what = f"{'pipeline' if ours else 'model'} {name} is not served: {why}"
    if options.control is ModelControl.POLL:
        return f"{what}; once it is mended, Triton finds it within {options.poll_s} s"
    if options.control is ModelControl.NONE or not ours:
        return f"{what}; once it is mended, start the server again"
    scheme = "grpcs://" if options.access.certificate else ""
    return (
        f"{what}; once it is mended, `framewire load {name} --repository "
        f"{shlex.quote(str(options.repository))} "
        f"--url {scheme}{options.local_address}:{options.grpc_port}` has it served beside the "
        "others"
    )
