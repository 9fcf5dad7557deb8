"""Where annotated pictures go."""

from __future__ import annotations

from pathlib import Path

from thin_client.errors import OutputUnwritable
from thin_client.opencv import load_opencv
from thin_client.sources import IMAGE_SUFFIXES

__all__ = ["output_paths", "refuse_overwriting"]


def output_paths(paths: list[str], out: str) -> dict[int, Path]:
    """Return where each annotated picture goes: its position in ``paths`` to a file.

    ``out`` is a file when there is one image and it looks like one, else a folder, which is made.
    Images of the same name get numbers.

    Raises:
        OutputUnwritable: the folder cannot be made, or a picture would replace its own source.
        OpenCVMissing: there is no OpenCV; better said before any image is sent.
    """
    load_opencv("drawing boxes")
    target = Path(out)
    if len(paths) == 1 and target.suffix and not target.is_dir() and not out.endswith(("/", "\\")):
        chosen = {0: target}
    elif len(paths) > 1 and target.suffix.lower() in IMAGE_SUFFIXES and not target.is_dir():
        raise OutputUnwritable(f"--out {out} is one picture, and there are several; name a folder")
    else:
        chosen, taken = {}, set()
        for position, path in enumerate(paths):
            name, number = Path(path).name, 1
            while name in taken:
                number += 1
                name = f"{Path(path).stem}_{number}{Path(path).suffix}"
            taken.add(name)
            chosen[position] = target / name
    folder = target.parent if chosen == {0: target} else target
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputUnwritable(f"cannot make the folder {folder}: {error.strerror}") from None
    for picture in chosen.values():
        for path in paths:
            refuse_overwriting(path, str(picture))
    return chosen


def refuse_overwriting(source: str, out: str) -> None:
    """Check that an output is not the file it is made from, under whatever name.

    Raises:
        OutputUnwritable: it is.
    """
    one, other = Path(source), Path(out)
    if one.resolve() == other.resolve() or (
        one.exists() and other.exists() and one.samefile(other)
    ):
        raise OutputUnwritable(f"{out} would replace its own source; choose another --out")
