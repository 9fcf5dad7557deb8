"""Three servers behind a client's round robin: one dies, or all are replaced one by one."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from builder.serving.ports import free_ports
from builder.testing import FramewireContainer
from tests.containers.asking import answered_by, wait_until
from tests.containers.client_traffic import ClientTraffic
from tests.containers.conftest import Image, StartContainer, build_tiny
from thin_client import Detector

pytestmark = pytest.mark.containers

REPLICAS = 3


@pytest.fixture
def replicas(start: StartContainer, tiny_repository: Path) -> list[FramewireContainer]:
    return [start(repository=tiny_repository, grpc_port=port) for port in free_ports(REPLICAS)]


def balanced(replicas: Sequence[FramewireContainer]) -> Detector:
    """A client of all of them, made as its documentation says."""
    return Detector("ipv4:" + ",".join(each.url for each in replicas), "tiny")


def test_when_one_of_three_is_killed_no_call_is_lost(replicas: list[FramewireContainer]) -> None:
    with balanced(replicas) as detector, ClientTraffic(detector) as traffic:
        wait_until(lambda: all(answered_by(each) > 20 for each in replicas))
        replicas[1].get_wrapped_container().kill()
        traffic.wait_for_more()
        before = [answered_by(each) for each in (replicas[0], replicas[2])]
        traffic.wait_for_more()
        after = [answered_by(each) for each in (replicas[0], replicas[2])]
    assert traffic.failures == []
    # Both that are left have work.
    assert all(now > then for then, now in zip(before, after, strict=True))


def test_replicas_are_replaced_one_by_one_and_no_call_is_lost(
    replicas: list[FramewireContainer],
    start: StartContainer,
    image: Image,
    tiny_repository: Path,
) -> None:
    newer = tiny_repository.parent / "newer"
    shutil.copytree(tiny_repository, newer)
    assert build_tiny(newer, image, shift=2) == 2
    with balanced(replicas) as detector, ClientTraffic(detector) as traffic:
        wait_until(lambda: all(answered_by(each) > 20 for each in replicas))
        first = set(traffic.answered)
        for old in replicas:
            port = old.port("grpc")
            assert old.terminate() == 0
            old.stop()
            new = start(repository=newer, grpc_port=port)
            wait_until(lambda new=new: answered_by(new) > 20 or bool(traffic.failures))
        both = set(traffic.answered)
        traffic.wait_for_more()
    assert traffic.failures == []
    # Three colours, one answer: the old version's. Then the new one's too, and never another.
    assert len(first) == 1
    assert len(both) == 2
    assert set(traffic.answered) == both
