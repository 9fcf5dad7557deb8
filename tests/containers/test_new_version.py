"""A new version of a pipeline, published into the repository that a container serves."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tritonclient.grpc import InferenceServerClient

from builder.cli import main
from builder.testing import FramewireContainer
from tests import images
from tests.containers.asking import wait_until
from tests.containers.conftest import Image, StartContainer, build_tiny
from tests.swapping import Traffic, ask
from tests.tiny_detector import coloured_square

pytestmark = pytest.mark.containers

PUBLIC = ("tiny", "tiny_bls")
SQUARE = images.encoded(coloured_square("red"), ".png")


@pytest.fixture
def repository(tiny_repository: Path, tmp_path: Path) -> Path:
    shutil.copytree(tiny_repository, tmp_path / "repository")
    return tmp_path / "repository"


def load(container: FramewireContainer, repository: Path) -> int:
    return main(["load", "tiny", "--repository", str(repository), "--url", container.url])


def test_a_new_version_takes_over_under_load_and_no_answer_is_mixed(
    start: StartContainer, image: Image, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    container = start(repository=repository)
    monkeypatch.setenv("FRAMEWIRE_ADMIN_KEY", container.admin_key)
    expected = {}
    with InferenceServerClient(container.url) as client:

        def note_answers(version: int) -> None:
            for model in PUBLIC:
                answered_by, answer = ask(client, model, SQUARE)
                assert answered_by == version
                # The ensemble and its twin give the same.
                assert expected.setdefault(version, answer) == answer

        note_answers(1)
        with Traffic(container.url, SQUARE, PUBLIC, threads_each=3) as traffic:
            for version in (2, 3):
                assert build_tiny(repository, image, shift=version) == version
                assert load(container, repository) == 0
                note_answers(version)
            wait_until(lambda: all(3 in traffic.versions(model) for model in PUBLIC))
    # Without a retry, and yet none was lost.
    assert traffic.errors == []
    for (model, version, answer), count in traffic.answers.items():
        assert answer == expected[version], (model, version, count)
    for model in PUBLIC:
        assert traffic.versions(model) == {1, 2, 3}
    assert len(set(expected.values())) == 3


def test_without_the_admin_key_nobody_loads_a_version(
    start: StartContainer,
    image: Image,
    repository: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    container = start(repository=repository)
    build_tiny(repository, image, shift=2)
    for key in (None, "a-key-that-is-not-the-right-one"):
        if key:
            monkeypatch.setenv("FRAMEWIRE_ADMIN_KEY", key)
        assert load(container, repository) == 1
        assert "who have its admin key" in capsys.readouterr().err
    with InferenceServerClient(container.url) as client:
        assert ask(client, "tiny", SQUARE)[0] == 1
