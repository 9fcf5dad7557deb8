"""The plan that a pipeline is to have on this machine."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from builder.detectors.onnx_file import sha256_of
from builder.pipelines.manifest import Manifest, read_manifest
from builder.tensorrt.engine_machine import Trtexec, ask_trtexec, device_of, find_gpu
from builder.tensorrt.engine_options import EngineOptions, plan_options
from builder.tensorrt.kept_plans import PlanKey
from builder.tensorrt.plan import Machine, misfit, network_folder


@dataclass(frozen=True)
class WantedPlan:
    """The plan that a pipeline is to have on this machine.

    Attributes:
        manifest: of the pipeline's active version.
        folder: of that version's network.
        trtexec: that compiles here.
        gpu: name of the GPU.
        compute_capability: of the GPU, as "8.9".
        device: which GPU it is, as CUDA is told; None is the first.
        options: of trtexec, without those that only name files.
    """

    manifest: Manifest
    folder: Path
    trtexec: Trtexec
    gpu: str
    compute_capability: str
    device: str | None
    options: tuple[str, ...]

    @property
    def machine(self) -> Machine:
        """What a plan has to fit."""
        return Machine(self.trtexec.version, self.compute_capability, self.gpu)

    def misfit(self) -> str | None:
        """Return why the plan that is there does not fit, to go after "the plan", or None."""
        return misfit(self.folder, self.machine, self.options)

    def key(self, onnx_file: Path) -> PlanKey:
        """Return what the plan of a network has in the cache of plans."""
        return PlanKey(
            sha256_of(onnx_file), self.trtexec.version, self.compute_capability, self.options
        )


def wanted_plan(repository: Path, name: str, options: EngineOptions) -> WantedPlan:
    """Return which plan a pipeline is to have here.

    Raises:
        BuilderError: there is no trtexec or no GPU, or the options do not suit the pipeline.
    """
    manifest = read_manifest(repository, name)
    folder = network_folder(repository, name, manifest.version)
    trtexec = ask_trtexec(repository)
    device = device_of(options.device, os.environ)
    gpu, capability = find_gpu(device)
    chosen = plan_options(options, repository, manifest, trtexec.help_text)
    return WantedPlan(manifest, folder, trtexec, gpu, capability, device, chosen)
