"""New versions under a running server: none of its clients notices but by the answers."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from tritonclient.grpc import InferenceServerClient

from builder.cli import main
from builder.pipelines.manifest import active_version
from builder.pipelines.repository import build_pipeline
from builder.pipelines.version_changes import new_version
from builder.serving.ports import free_ports
from builder.serving.running_server import model_states
from builder.settings import BuildSettings
from tests import images
from tests.e2e.wire import infer, rows
from tests.killing import Killer
from tests.serving import Serving, children, serving
from tests.swapping import Traffic, ask
from tests.tiny_detector import (
    coloured_square,
    own_metadata,
    save_tiny_detector,
    tiny_detector,
)
from thin_client import Detector, FramewireError
from thin_client.connection import Connection

PUBLIC = ("tiny", "tiny_bls")
# Of one version: two that preprocess, two of the BLS variant, the network, postprocess.
PROCESSES = 6
SQUARE = images.encoded(coloured_square("red"), ".png")
POLL = ("--control", "poll", "--poll-seconds", "1")
EXPLICIT = ("--control", "explicit")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    build(tmp_path / "r", 64)
    return tmp_path / "r"


def detector(repository: Path, size: int) -> Path:
    return save_tiny_detector(repository.parent / f"{size}.onnx", tiny_detector(size, size))


def build(repository: Path, size: int, **options: object) -> int:
    settings = BuildSettings("tiny", conf=0.4, **options)
    return build_pipeline(detector(repository, size), repository, settings).version


def load(repository: Path, url: str, *options: str) -> int:
    return main(["load", "tiny", "--repository", str(repository), "--url", url, *options])


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("control", [POLL, EXPLICIT], ids=lambda options: options[1])
def test_no_request_is_lost_and_no_answer_mixed(repository: Path, control: tuple[str, ...]) -> None:
    expected = {}
    with serving(repository, *control) as server, InferenceServerClient(server.url) as client:

        def note_answers(version: int) -> None:
            for model in PUBLIC:
                answered_by, answer = ask(client, model, SQUARE)
                assert answered_by == version
                # The ensemble and its twin give the same.
                assert expected.setdefault(version, answer) == answer

        note_answers(1)
        with Traffic(server.url, SQUARE, PUBLIC, threads_each=4) as traffic:
            for change, version in (
                (lambda: build(repository, 96), 2),
                # With another number of processes, too.
                (lambda: build(repository, 160, instances=3), 3),
                (lambda: main(["rollback", "tiny", "--repository", str(repository)]), 2),
                (lambda: build(repository, 224), 4),
            ):
                change()
                assert active_version(repository, "tiny") == version
                assert load(repository, server.url) == 0
                note_answers(version)
            wait_until(lambda: all(4 in traffic.versions(model) for model in PUBLIC))
        assert traffic.errors == []
        for (model, version, answer), count in traffic.answers.items():
            assert answer == expected[version], (model, version, count)
        for model in PUBLIC:
            assert traffic.versions(model) == {1, 2, 3, 4}
        assert len(set(expected.values())) == 4
        # Only the last version is still in memory.
        wait_until(lambda: loaded(server) == {4})
        assert len(children(server.triton_pid())) == PROCESSES
        assert server.process.poll() is None


def loaded(server: Serving) -> set[int]:
    states = model_states(Connection(server.url)).values()
    at_work = {"READY", "LOADING", "UNLOADING"}
    return {version for model in states for version, state in model.items() if state in at_work}


@pytest.mark.parametrize("bls", [False, True])
def test_clients_that_stay_connected_get_the_labels_of_the_version_that_answered(
    tmp_path: Path, bls: bool
) -> None:
    repository, red = tmp_path / "r", images.encoded(coloured_square("red"), ".png")
    # What is red is of the class 0, whatever that is called.
    orders = {1: ("red", "green", "blue"), 2: ("blue", "red", "green")}

    def build_named(version: int) -> None:
        model = tiny_detector(metadata=own_metadata(orders[version]))
        file = save_tiny_detector(tmp_path / "tiny.onnx", model)
        # The second version's answers have another shape, too.
        settings = BuildSettings("tiny", max_det=100 * version)
        assert build_pipeline(file, repository, settings).version == version

    build_named(1)
    found: Counter[tuple[str, ...]] = Counter()
    wrong: list[object] = []
    stop = threading.Event()
    with (
        serving(repository, "--no-supervise") as server,
        Detector(server.url, bls=bls) as detector,
    ):

        def send(classes: list[str] | None) -> None:
            while not stop.is_set():
                try:
                    labels = detector.detect(red, classes=classes).labels
                except FramewireError as error:
                    wrong.append(error)
                    return
                if classes is None:
                    found[labels] += 1
                elif set(labels) - set(classes):
                    wrong.append(labels)

        threads = [
            threading.Thread(target=send, args=(classes,))
            for classes in (None, None, ["red"], ["blue"])
        ]
        for thread in threads:
            thread.start()
        build_named(2)
        assert load(repository, server.url) == 0
        assert detector.detect(red).labels == ("blue",)
        assert detector.detect(red, classes=["red"]).labels == ()
        assert detector.connect().max_det == 200
        assert main(["rollback", "tiny", "--repository", str(repository)]) == 0
        assert load(repository, server.url) == 0
        assert detector.detect(red, classes=["red"]).labels == ("red",)
        assert detector.connect().version == "1"
        stop.set()
        for thread in threads:
            thread.join()
        # Who names no model, and comes after a rollback.
        with Detector(server.url, bls=bls) as later:
            assert later.detect(red).labels == ("red",)
            done = {each.model: each.images for each in later.report().statistics}
            assert done["tiny_network"] > 0
            assert done["tiny_bls" if bls else "tiny"] > 0
    assert wrong == [], server.error_text()
    assert set(found) == {("red",), ("blue",)}


def test_a_polling_server_answers_on_while_builds_are_killed(repository: Path) -> None:
    command = ["build", str(detector(repository, 96)), "--name", "tiny"]
    command += ["--repository", str(repository)]
    killed_at = set()
    with serving(repository, *POLL) as server, Killer() as killer:
        with Traffic(server.url, SQUARE, PUBLIC, threads_each=2) as traffic:
            # From before the first rename to after the last.
            for step in range(7, 60, 5):
                before = active_version(repository, "tiny")
                if killer.run(step, *command) == 0:
                    break
                killed_at.add(active_version(repository, "tiny") - before)
                seen = sum(traffic.answers.values())
                polls = time.monotonic() + 2.5
                wait_until(lambda at=polls: time.monotonic() > at)
                assert sum(traffic.answers.values()) > seen
                # Mends, and waits until the server has what it mended.
                assert load(repository, server.url) == 0
            final = build(repository, 160)
            assert load(repository, server.url) == 0
            wait_until(lambda: all(final in traffic.versions(model) for model in PUBLIC))
        assert traffic.errors == []
    # Some died before the commit, some after it.
    assert {0, 1} <= killed_at


@pytest.mark.parametrize("max_batch", [16, 4], ids=["one config serves both", "none does"])
def test_a_server_started_over_a_killed_build_serves_a_whole_pipeline(
    repository: Path, max_batch: int
) -> None:
    command = ["build", str(detector(repository, 96)), "--name", "tiny"]
    command += ["--repository", str(repository), "--max-batch", str(max_batch)]
    # Between the configs of the steps: some are new, the ensemble's is old.
    with Killer() as killer:
        steps = iter(range(100))
        while "versions: 2" not in (repository / "tiny_preprocess" / "config.pbtxt").read_text():
            assert killer.run(next(steps), *command) == -9
    assert active_version(repository, "tiny") == 1
    with serving(repository) as server:
        for model in PUBLIC:
            assert len(rows(infer(server.url, model, [SQUARE] * 16), 15)) > 0
    assert [path.name for path in repository.parent.glob(".r.*")] == []


def test_a_version_that_does_not_load_leaves_the_old_one_answering(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(repository, *EXPLICIT) as server:
        with Traffic(server.url, SQUARE, PUBLIC, threads_each=1) as traffic:
            with new_version(repository, "tiny") as staged:
                (staged.folder(staged.names.network) / "model.onnx").write_bytes(b"no network")
            assert load(repository, server.url) == 1
            error = capsys.readouterr().err
            assert f"the server at {server.url} could not load version 2 of tiny_network" in error
            assert "go back with `framewire rollback" in error
            assert error.count("\n") == 1
            assert loaded(server) >= {1}
            assert main(["rollback", "tiny", "--repository", str(repository)]) == 0
            assert load(repository, server.url) == 0
            wait_until(lambda: loaded(server) == {1})
        assert traffic.errors == []
        assert traffic.versions("tiny") == traffic.versions("tiny_bls") == {1}


def test_a_server_that_was_not_told_to_look_is_named(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (port,) = free_ports(1)
    assert load(repository, f"127.0.0.1:{port}") == 1
    assert f"no answer from a server at 127.0.0.1:{port}" in capsys.readouterr().err
    with serving(repository, "--control", "none") as server:
        build(repository, 96)
        assert load(repository, server.url, "--timeout", "2") == 1
        error = capsys.readouterr().err
        assert "did not change to version 2 of tiny within 2 s, it has version 1" in error
        assert "--control poll or explicit" in error


def test_a_polling_server_loads_nothing_twice(repository: Path) -> None:
    with serving(repository, *POLL, "--verbose") as server:
        build(repository, 96)
        assert load(repository, server.url) == 0
        wait_until(lambda: loaded(server) == {2})
        polls = time.monotonic() + 3
        wait_until(lambda: time.monotonic() > polls)
    log = [line for line in server.errors if "TRITONBACKEND_ModelInstanceInitialize:" in line]
    # Of two versions, each once.
    assert len(log) == 2 * PROCESSES, log


@pytest.mark.parametrize("control", [POLL, EXPLICIT], ids=lambda options: options[1])
def test_a_model_that_dies_after_a_change_ends_the_server(
    repository: Path, control: tuple[str, ...]
) -> None:
    server = Serving(repository, *control, "--no-supervise")
    try:
        server.wait_until_ready()
        build(repository, 96)
        assert load(repository, server.url) == 0
        wait_until(lambda: len(children(server.triton_pid())) == PROCESSES)
        victim = next(pid for pid in children(server.triton_pid()) if "network" in command_of(pid))
        os.kill(victim, signal.SIGKILL)
        assert server.wait() == 1
        assert "the process of model tiny_network ended" in server.error_text()
    finally:
        server.stop()


def command_of(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().decode()
