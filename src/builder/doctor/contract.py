"""What pipelines promise to clients: their contract, who built them, names of classes.

The same is read twice: in the repository, and from what a server has loaded.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

from tritonclient.grpc import model_config_pb2 as pb

import thin_client
from builder import __version__
from builder.doctor.case import Case
from builder.doctor.finding import CannotLook, Finding, Seen, error, hint, listed, warning
from builder.errors import BuilderError
from builder.pipelines.config_files import read_config
from builder.pipelines.config_parts import LABELS_FILE
from thin_client.contract import (
    PipelineParameter,
    contract_fingerprint,
    model_names,
    stream_fingerprint,
)

# As `framewire build --number-classes` and ultralytics number them.
NUMBERED = re.compile(r"class[ _-]?\d+")


@dataclass(frozen=True)
class Promise:
    """A model that clients call, as its config describes it.

    Attributes:
        model: Triton's name of it.
        pipeline: that it belongs to.
        where: it was read, to go after "in".
        parameters: of the config.
        fingerprint: that it should have.
    """

    model: str
    pipeline: str
    where: str
    parameters: Mapping[str, str]
    fingerprint: str

    @property
    def labels(self) -> tuple[str, ...] | None:
        """Names of the classes; None where they cannot be read."""
        with suppress(ValueError):
            labels = json.loads(self.parameters.get(PipelineParameter.LABELS.value, ""))
            return tuple(map(str, labels)) if isinstance(labels, list) else None
        return None


def promises(case: Case) -> list[Promise]:
    """Return the public models of the repository, and those that the server has loaded."""
    found = []
    for name in case.pipelines():
        for model, fingerprint in _public(name):
            # One that is damaged or, of streams, not there is told of elsewhere.
            with suppress(BuilderError):
                config = read_config(case.the_repository() / model)
                found.append(_promise(name, str(case.repository), config, fingerprint))
    running = case.running
    if running is not None:
        for name in _served(case):
            for model, fingerprint in _public(name):
                with suppress(CannotLook):
                    if config := running.config(model):
                        found.append(_promise(name, running.url, config, fingerprint))
    return found


def _served(case: Case) -> tuple[str, ...]:
    if case.running is None:
        return ()
    try:
        return case.running.pipelines
    except CannotLook:
        return case.pipelines()  # it does not tell its models; ours may be there


def _public(name: str) -> tuple[tuple[str, str], ...]:
    names, images = model_names(name), contract_fingerprint()
    return (names.ensemble, images), (names.bls, images), (names.stream, stream_fingerprint())


def _promise(pipeline: str, where: str, config: pb.ModelConfig, fingerprint: str) -> Promise:
    parameters = {key: value.string_value for key, value in config.parameters.items()}
    return Promise(config.name, pipeline, where, parameters, fingerprint)


def look_at_contract(case: Case) -> Seen | None:
    """Compare contract and version of every pipeline with those of this builder and its client."""
    all_of_them = promises(case)
    if not all_of_them:
        return None
    findings = [finding for promise in all_of_them for finding in _breaches(promise)]
    places = sorted({promise.where for promise in all_of_them})
    same = "" if findings else f" is {contract_fingerprint()} as here"
    return Seen(f"of what is in {listed(places)}{same}", tuple(findings))


def _breaches(promise: Promise) -> Iterator[Finding]:
    theirs = promise.parameters.get(PipelineParameter.CONTRACT.value)
    built_by = promise.parameters.get(PipelineParameter.VERSION.value, "unknown")
    if theirs != promise.fingerprint:
        yield error(
            "contract-mismatch",
            f"{promise.model} in {promise.where} was built by framewire {built_by} and speaks "
            f"contract {theirs or 'none'}, framewire-client {thin_client.__version__} speaks "
            f"{promise.fingerprint}: clients refuse it",
            f"`framewire build MODEL --name {promise.pipeline} --replace`, or install the "
            f"framewire-client of version {built_by}",
        )
    elif built_by != __version__ and promise.model == promise.pipeline:
        yield hint(
            "built-by-another-version",
            f"{promise.pipeline} in {promise.where} was built by framewire {built_by} and this is "
            f"{__version__}; the contract is the same, its served code is not this version's",
            f"`framewire build MODEL --name {promise.pipeline}` makes a new version of it",
        )


def look_at_labels(case: Case) -> Seen | None:
    """Look for classes without names."""
    findings, counted = list[Finding](), dict[str, int]()
    wanted = {each.name: each.num_classes for each in case.manifests()}
    for promise in promises(case):
        if promise.model == promise.pipeline:
            of_repository = promise.where == str(case.repository)
            findings += _nameless(promise, wanted.get(promise.pipeline, 0) * of_repository)
            counted[promise.pipeline] = len(promise.labels or ())
    for manifest in case.manifests():
        folder = case.the_repository() / manifest.name / str(manifest.version)
        names = 0
        with suppress(OSError):
            names = len((folder / LABELS_FILE).read_text().splitlines())
        if names < manifest.num_classes:
            where = f"{manifest.name} in {case.repository}"
            findings.append(
                _too_few(manifest.name, where, LABELS_FILE, names, manifest.num_classes)
            )
    if not counted and not findings:
        return None
    return Seen(
        ", ".join(f"{name} has {count}" for name, count in counted.items()), tuple(findings)
    )


def _nameless(promise: Promise, classes: int) -> Iterator[Finding]:
    labels, where = promise.labels, f"{promise.model} in {promise.where}"
    if labels is None or len(labels) < max(1, classes):
        found = len(labels or ())
        yield _too_few(promise.pipeline, where, "config", found, max(1, classes))
        return
    # A detector of digits has such names too: as far as can be told, they are missing.
    numbers = [label for index, label in enumerate(labels) if label.strip() in {"", str(index)}]
    mend = (
        f"write the names into a file, one to a line in class order, and `framewire build MODEL "
        f"--name {promise.pipeline} --labels FILE`"
    )
    if numbers:
        yield warning(
            "labels-missing",
            f"{len(numbers)} of the {len(labels)} classes of {where} have their number for a name "
            f"({listed([repr(each) for each in numbers])})",
            mend,
        )
    elif all(NUMBERED.fullmatch(label.strip()) for label in labels):
        yield hint(
            "labels-numbered",
            f"the {len(labels)} classes of {where} are only numbered, {labels[0]!r} and so on",
            mend,
        )


def _too_few(pipeline: str, where: str, of: str, names: int, classes: int) -> Finding:
    return warning(
        "labels-missing",
        f"the {of} of {where} names {names} classes and the network has "
        f"{classes if classes > 1 else 'at least 1'}",
        f"`framewire build MODEL --name {pipeline} --labels FILE`, with a name to a line",
    )
