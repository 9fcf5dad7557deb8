"""What a version of a pipeline is: a file beside it that says how it was built.

A folder of a repository is a pipeline of ours when the ensemble's active version has this file. The
file does not say when it was built: the same detector and settings make the same files.
"""

from __future__ import annotations

import json
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path

from builder.errors import InvalidPipelineError, RepositoryError
from builder.pipelines.config_files import CONFIG_FILE, named_versions, read_config, version_folders
from builder.settings import PIPELINE_NAME, Decoder, Nms, Precision, Runtime, Shape, Track
from builder.trial.load_wait import LEAST_WAIT_S
from thin_client.contract import DamagedImages

# In NAME/<version>/; Triton leaves it alone.
MANIFEST_FILE = "pipeline.json"


@dataclass(frozen=True)
class Manifest:
    """How one version of a pipeline was built.

    Attributes:
        name: of the pipeline.
        version: of the pipeline; all its models bear the same.
        builder_version: of Framewire.
        source: file name of the detector, without its folder.
        source_sha256: of that file, in hex.
        head: value of the detector's head family.
        width: of the network's input, pixels.
        height: of the network's input, pixels.
        candidates: rows that leave the network.
        max_batch: the largest batch.
        precision: of the network.
        runtime: of the network.
        nms: where overlapping boxes are suppressed.
        conf: default score threshold.
        iou: default overlap threshold.
        max_det: rows of the outputs.
        class_agnostic: whether boxes of different classes suppress each other by default.
        multi_label: whether one box may be several detections.
        num_classes: number of labels.
        decoder: of JPEGs much larger than the network's input.
        damaged: what becomes of damaged JPEGs by default.
        instances: processes that decode at once, of each variant.
        decode_threads: of each of them; 0 for its share of the cores.
        stream: whether the pipeline takes streams of video packets too.
        fixed_batch: the only batch size of the detector's own graph; None when any will do.
        load_wait_s: seconds that whoever starts it waits for it to load: ten times what loading and
            a batch took when it was built, and at least 120.
        shape: of the frames.
        track: which streams have a tracker.
    """

    name: str
    version: int
    builder_version: str
    source: str
    source_sha256: str
    head: str
    width: int
    height: int
    candidates: int
    max_batch: int
    precision: Precision
    runtime: Runtime
    nms: Nms
    conf: float
    iou: float
    max_det: int
    class_agnostic: bool
    multi_label: bool
    num_classes: int
    # Not in the manifests of the first builders, which knew one way only.
    decoder: Decoder = Decoder.EXACT
    damaged: DamagedImages = DamagedImages.REFUSE
    instances: int = 1
    decode_threads: int = 0
    stream: bool = False
    fixed_batch: int | None = None
    load_wait_s: int = LEAST_WAIT_S
    shape: Shape = Shape.SQUARE
    track: Track = Track.OFF


def write_manifest(version_folder: Path, manifest: Manifest) -> None:
    """Write a manifest into ``NAME/<version>``."""
    text = json.dumps(asdict(manifest), indent=1, ensure_ascii=False)
    (version_folder / MANIFEST_FILE).write_text(text + "\n")


def read_manifest(repository: Path, name: str, version: int | None = None) -> Manifest:
    """Read how a version of a pipeline was built, by default the active one.

    Raises:
        RepositoryError: there is no such pipeline or no such version of it.
        InvalidPipelineError: its manifest is damaged.
    """
    chosen = active_version(repository, name) if version is None else version
    file = repository / name / str(chosen) / MANIFEST_FILE
    try:
        values = json.loads(file.read_text())
        known = {
            field.name: values.get(field.name, field.default)
            if field.default is not MISSING
            else values[field.name]
            for field in fields(Manifest)
        }
        manifest = Manifest(
            **{
                **known,
                "precision": Precision(known["precision"]),
                "runtime": Runtime(known["runtime"]),
                "nms": Nms(known["nms"]),
                "decoder": Decoder(known["decoder"]),
                "damaged": DamagedImages(known["damaged"]),
                "shape": Shape(known["shape"]),
                "track": Track(known["track"]),
            }
        )
        # Paths are made of both.
        if (manifest.name, manifest.version) != (name, chosen):
            raise ValueError(f"it is of version {manifest.version} of {manifest.name!r}")
        return manifest
    except FileNotFoundError as error:
        kept = ", ".join(map(str, version_folders(repository / name))) or "none"
        raise RepositoryError(
            f"{repository} has no version {chosen} of {name}, its versions are: {kept} "
            "(`framewire list` shows them all)"
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidPipelineError(
            f"{name}/{chosen}/{MANIFEST_FILE} in {repository} is damaged ({type(error).__name__}: "
            f"{error}): build the pipeline again with --replace"
        ) from error


def active_version(repository: Path, name: str) -> int:
    """Return the version of a pipeline that clients are to get.

    Raises:
        RepositoryError: there is no pipeline of this name.
    """
    if not is_pipeline(repository, name):
        found = ", ".join(pipelines(repository)) or "none"
        raise RepositoryError(
            f"{repository} has no pipeline {name}, its pipelines are: {found} "
            "(make one with `framewire build`)"
        )
    return named_versions(read_config(repository / name))[0]


def is_pipeline(repository: Path, name: str) -> bool:
    """Return whether there is a pipeline of ours with this name."""
    if not PIPELINE_NAME.fullmatch(name):  # a path leads to where this process holds no lock
        return False
    folder = repository / name
    if not (folder / CONFIG_FILE).is_file():
        return False
    try:
        versions = named_versions(read_config(folder))
    except InvalidPipelineError:
        return False
    return len(versions) == 1 and (folder / str(versions[0]) / MANIFEST_FILE).is_file()


def pipelines(repository: Path) -> tuple[str, ...]:
    """Return the names of the pipelines in a repository, sorted."""
    if not repository.is_dir():
        return ()
    names = (path.name for path in repository.iterdir())
    return tuple(sorted(name for name in names if is_pipeline(repository, name)))
