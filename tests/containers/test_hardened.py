"""The image where it may do little: no root, nothing to write to, no capabilities."""

from __future__ import annotations

from pathlib import Path

import pytest
from docker.types import Mount

from tests import images
from tests.containers.conftest import StartContainer
from tests.tiny_detector import coloured_square

pytestmark = pytest.mark.containers

RED = images.encoded(coloured_square("red"), ".png")


def test_it_works_with_a_read_only_root_and_without_capabilities(
    start: StartContainer, tiny_repository: Path
) -> None:
    container = start(
        repository=tiny_repository,
        read_only=True,
        mounts=[Mount("/tmp", None, type="tmpfs")],  # noqa: S108 - in the container
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
    )
    for bls in (False, True):
        with container.detector(bls=bls) as detector:
            assert [each.label for each in detector.detect(RED)] == ["red"]
    inside = container.get_wrapped_container()
    assert inside.exec_run(["touch", "/models/new"]).exit_code != 0
    assert inside.exec_run(["touch", "/opt/new"]).exit_code != 0
    held = inside.exec_run(["sed", "-n", "s/^Cap.*:\\s*//p", "/proc/1/status"]).output.split()
    assert len(held) == 5
    assert {int(mask, 16) for mask in held} == {0}
    assert container.terminate() == 0


def test_nothing_in_it_runs_as_root(start: StartContainer, tiny_repository: Path) -> None:
    container = start(repository=tiny_repository).get_wrapped_container()
    running = container.top(ps_args="-eo pid,uid")["Processes"]
    assert {uid for _, uid in running} == {"1000"}
    # Triton and its Python processes among them.
    assert len(running) > 5
    container.reload()
    assert container.attrs["Config"]["User"].split(":")[0] not in {"", "0", "root"}
