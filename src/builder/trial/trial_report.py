"""What a trial showed, in words."""

from __future__ import annotations

from builder.trial.network_trial import Trial


def trial_line(trial: Trial, conf: float) -> str:
    """Return what a network did when it was tried.

    Args:
        trial: of the network.
        conf: score above which candidates count as found.
    """
    found = ", ".join(f"{count} in {frame}" for frame, count in trial.found.items())
    line = (
        f"loaded in {trial.load_s:.1f} s by {trial.runtime}, {trial.frame_s:.2f} s for a frame; "
        f"found above {conf:g}: {found} (best score {trial.best_score:.2g})"
    )
    if trial.batch > 1 and trial.images_seen is None:
        line += "; the same in a batch"
    return line


def batch_line(trial: Trial) -> str | None:
    """Return what is the matter with batches, or None where they are as they should be."""
    if trial.images_seen is None:
        return None
    first = "image" if trial.images_seen == 1 else f"{trial.images_seen} images"
    return (
        f"it looks at the first {first} of a batch only, so batches hold no more with --runtime "
        f"onnxruntime and tensorrt; --runtime python runs each frame by itself. Export it for "
        "larger batches (batch=16), or without NMS"
    )
