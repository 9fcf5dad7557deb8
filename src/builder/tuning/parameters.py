"""What may be chosen for a built pipeline, and which values are tried."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from builder.errors import SettingsError
from builder.pipelines.manifest import Manifest
from builder.settings import BuildSettings, Decoder, Precision

# Values of one parameter, by its name in Choice, in the order in which parameters are tried.
Space = Mapping[str, Sequence[object]]

# Their networks have float32 weights, of which those of the others can be made.
OF_FLOAT32 = frozenset({Precision.FP32, Precision.BF16})
# float16 is not among them: the embedded Triton computes it in float32.
TUNED_PRECISIONS = (Precision.FP32, Precision.BF16, Precision.INT8)


@dataclass(frozen=True)
class Choice:
    """Settings of a pipeline that can be changed without its detector.

    Attributes: as of :class:`BuildSettings`.

    Raises:
        SettingsError: on creation, when a value is out of range.
    """

    decoder: Decoder
    instances: int
    decode_threads: int
    max_batch: int
    precision: Precision = Precision.FP32

    def __post_init__(self) -> None:
        """Check every value as a build does."""
        BuildSettings("checked", **vars(self))

    @property
    def values(self) -> dict[str, object]:
        """By name, as JSON takes them."""
        return {
            **asdict(self),
            "decoder": self.decoder.value,
            "precision": self.precision.value,
        }

    @property
    def words(self) -> str:
        """All of it on one line."""
        threads = f"{self.decode_threads or 'auto'} threads each"
        return (
            f"decoder {self.decoder.value}, {self.instances} instances, {threads}, "
            f"batches up to {self.max_batch}, {self.precision.value}"
        )


def present_choice(manifest: Manifest) -> Choice:
    """Return what a version was built with."""
    return Choice(
        decoder=manifest.decoder,
        instances=manifest.instances,
        decode_threads=manifest.decode_threads,
        max_batch=manifest.max_batch,
        precision=manifest.precision,
    )


def search_space(
    manifest: Manifest,
    cores: int,
    *,
    instances: Sequence[int] | None = None,
    decode_threads: Sequence[int] | None = None,
    max_batch: Sequence[int] | None = None,
    allow_scaled: bool = False,
    precisions: Sequence[Precision] = (),
) -> Space:
    """Return the values to try, those of the version itself among them.

    Args:
        manifest: of the version.
        cores: that its processes may keep busy.
        instances: to try; by default 1, 2, 4, ... up to twice the cores.
        decode_threads: to try; by default the share of the cores, 1 and as many as cores.
        max_batch: to try; by default the version's own and twice that. Smaller ones would refuse
            requests that are answered today, so they are tried only when named.
        allow_scaled: whether pixels may change for speed: both decoders are tried then.
        precisions: of the network, to try; the version's own only where none is named.

    Raises:
        SettingsError: a value is out of range, larger than the detector's fixed batch, or a
            precision that the version's network cannot be brought to.
    """
    present = present_choice(manifest)
    fixed = manifest.fixed_batch
    if fixed is not None and max_batch and max(max_batch) > fixed:
        raise SettingsError(
            f"--max-batch may be at most {fixed} for {manifest.name}, got {max(max_batch)}: its "
            "detector was exported with a fixed batch, export it with a dynamic one"
        )
    doubled = min(2 * present.max_batch, fixed or 1024, 1024)
    _check_precisions(manifest, precisions)
    space: dict[str, Sequence[object]] = {
        "precision": tuple(dict.fromkeys((present.precision, *precisions))),
        "decoder": tuple(Decoder) if allow_scaled else (present.decoder,),
        "instances": sorted({present.instances, *(instances or _powers(2 * cores))}),
        "decode_threads": sorted({present.decode_threads, *(decode_threads or (0, 1, cores))}),
        "max_batch": sorted({present.max_batch, *(max_batch or (doubled,))}),
    }
    for name, values in space.items():
        for value in values:
            Choice(**{**vars(present), name: value})
    return space


def _check_precisions(manifest: Manifest, precisions: Sequence[Precision]) -> None:
    if manifest.precision in OF_FLOAT32:
        return
    if others := [each.value for each in precisions if each is not manifest.precision]:
        raise SettingsError(
            f"{manifest.name} was built in {manifest.precision.value}, whose rounded weights have "
            f"no way to {' and '.join(others)}: build it with --precision fp32 first, or leave "
            "--precisions out"
        )


def _powers(limit: int) -> list[int]:
    return [2**power for power in range(limit.bit_length()) if 2**power <= limit]
