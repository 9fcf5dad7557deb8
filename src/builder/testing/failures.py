"""Why a container is not there, in words."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

import docker.errors

from builder.errors import ContainersUnavailableError

LOG_LINES_SHOWN = 20
# What `framewire serve` says, and goes on with the others: builder.serving.loading.
NOT_SERVED = re.compile(r"^framewire: (pipeline (?P<name>\S+) is not served: .*)$", re.MULTILINE)


@contextmanager
def told_by_docker(image: str) -> Iterator[None]:
    """Say in words why Docker does not start an image."""
    try:
        yield
    except docker.errors.APIError as error:
        raise ContainersUnavailableError(
            f"Docker does not start image {image} ({error.explanation}): make the image with `make "
            "image`, or name one that is there"
        ) from error
    except docker.errors.DockerException as error:
        raise ContainersUnavailableError(
            f"no Docker daemon answers ({error}): start one, or name it in the variable DOCKER_HOST"
        ) from error


def death_sentence(image: str, container: Any) -> str:
    """Return why a container ended before it was ready.

    Args:
        image: of the container.
        container: docker-py's object, just read.
    """
    state = container.attrs["State"]
    how = f"exited with {state['ExitCode']}"
    if state.get("OOMKilled"):
        how = "was killed because it needed more than its memory limit (memory_bytes)"
    return (
        f"the container of {image} {how} before its pipelines were ready: mend what its log ends "
        f"with:\n{last_lines(container)}"
    )


def not_served(log: str, names: Collection[str]) -> str | None:
    """Return why pipelines are not served though their server is up, or None.

    Args:
        log: of the server.
        names: of the pipelines that are wanted.
    """
    told = {match["name"]: match[1] for match in NOT_SERVED.finditer(log)}
    return "; ".join(line for name, line in told.items() if name in names) or None


def last_lines(container: Any) -> str:
    """Return the end of a container's log."""
    log = container.logs(tail=LOG_LINES_SHOWN).decode(errors="replace").strip()
    return str(log) or "(it logged nothing)"
