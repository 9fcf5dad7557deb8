"""What a server goes without: a pipeline that cannot be served leaves the others served."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from builder.errors import BuilderError, RepositoryError
from builder.pipelines.servable import unservable
from builder.serving.server_options import ServerOptions, served_models, without_backend


def leaving_out(options: ServerOptions, mended: Collection[str] = ()) -> ServerOptions:
    """Return options with which Triton is given only what it can serve, as the files are now.

    Args:
        options: with what was to be left out before, for reasons that files do not show.
        mended: pipelines of these that were served since, and are to be served again.

    Raises:
        BuilderError: nothing is left, or one model that cannot be served is to end the server.
    """
    found: dict[str, BuilderError] = dict(unservable(options.repository))
    if not options.triton:
        for name, error in without_backend(options.repository).items():
            found.setdefault(name, error)
    if found and options.exit_on_error:
        raise next(iter(found.values()))
    before = {name: why for name, why in options.left_out.items() if name not in mended}
    left = {**before, **{name: str(error) for name, error in found.items()}}
    chosen = replace(options, left_out=left)
    if left and not served_models(chosen):
        raise _nothing_left(found, left)
    return chosen


def _nothing_left(found: dict[str, BuilderError], left: dict[str, str]) -> BuilderError:
    if len(left) == len(found) == 1:
        return next(iter(found.values()))
    return RepositoryError("nothing can be served: " + "; ".join(left.values()))
