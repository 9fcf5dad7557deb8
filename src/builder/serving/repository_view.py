"""The repository as Triton is given it: under a path that a shell takes, without what is left out.

A Triton in explicit mode is told what to load, so it gets a link to the whole repository. In the
other modes it takes every folder for a model: where something is left out, it gets a folder with a
link to each of the others.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from builder.pipelines.pipeline_models import all_names, wanted_models
from builder.pipelines.servable import unservable
from builder.serving.server_options import ModelControl, ServerOptions


@contextmanager
def repository_view(options: ServerOptions, view: Path) -> Iterator[None]:
    """Make what Triton is to be given; for a Triton that polls, keep it up to date.

    Args:
        options: of the server.
        view: path that is to be made.
    """
    repository = options.repository.resolve()
    if options.control is ModelControl.EXPLICIT or not options.left_out:
        view.symlink_to(repository)
        yield
        return
    view.mkdir()
    _link(repository, view, options.left_out)
    if options.control is not ModelControl.POLL:
        yield
        return
    # What is left out for another reason than its files, as for want of a plan, stays so.
    for_good = set(options.left_out).difference(unservable(repository))
    ended = threading.Event()

    def follow() -> None:
        while not ended.wait(1):
            with suppress(OSError):  # in the middle of a change
                _link(repository, view, {*unservable(repository), *for_good})

    thread = threading.Thread(target=follow, name="repository view", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _link(repository: Path, view: Path, left_out: Iterable[str]) -> None:
    """Have the view hold a link to each model that is not left out.

    What has a link keeps it while it is there: a build may be at work on it, and Triton looks at it
    in its own way. What models call comes before them, or Triton may find them without it.
    """
    hidden = {model for name in left_out for model in (name, *wanted_models(repository, name))}
    there = {path.name for path in repository.iterdir()}
    for gone in {path.name for path in view.iterdir()} - there:
        (view / gone).unlink()
    ours = [
        model
        for name in all_names(repository)
        for model in reversed(wanted_models(repository, name))
    ]
    for model in (*ours, *sorted(there.difference(ours))):
        if model in there - hidden:
            with suppress(FileExistsError):
                (view / model).symlink_to(repository / model)
