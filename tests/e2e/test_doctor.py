"""``framewire doctor`` beside the real Triton, healthy and ill: traffic, and the whole machine."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from builder.serving.access import ADMIN_KEY_VARIABLE
from builder.serving.ports import free_ports
from builder.serving.shared_memory import SHM_FOLDER
from tests import images, serving
from tests.builder.doctor.examining import PORT_OPTIONS, Said, doctor, with_shared_memory
from tests.conftest import ROOT
from tests.e2e.doctored import (
    bare_triton,
    camera_that_waits_for_nobody,
    traffic,
    without_batching,
)
from tests.serving import Serving, children, framewire, shared_memory_of
from tests.tiny_detector import coloured_square

pytestmark = pytest.mark.alone

KEY = "doctor-knows-the-key-0001"
# As many pixels as the tiny pipeline accepts: with its network, decoding is most of the work.
LARGE = images.encoded(images.photograph(1200, 800))
SMALL = images.encoded(coloured_square("red"))
NEVER_BAD = {"machine-busy", "leftover-scratch-folder", "triton-vulnerable"}


def inside(server: Serving) -> list[str]:
    """Words that run a command with the mounts of a server."""
    namespaces = ("--user", "--mount", "--preserve-credentials")
    return ["nsenter", "--target", str(server.process.pid), *namespaces]


def test_a_healthy_pipeline_is_healthy(monkeypatch: pytest.MonkeyPatch) -> None:
    # With a /dev/shm of its own: in this machine's there may be what others left.
    apart = with_shared_memory(1024)
    monkeypatch.setattr(serving, "framewire", lambda *words: [*apart, *framewire(*words)])
    with serving.serving(ROOT / "model_repository") as server:
        with traffic(server.url, "codes", SMALL, at_once=2):
            # A busy machine may need longer for ten answers.
            for seconds in ("2", "8", "30"):
                watching = ("--url", server.url, "--watch-seconds", seconds)
                said = doctor(*watching, before=inside(server))
                told = report_of(*watching, before=inside(server))
                if not said.report["not_looked_at"] and "could not" not in told.stdout:
                    break
        outside = doctor("--url", server.url)
    assert said.names() - NEVER_BAD == set(), said.report["findings"]
    assert said.report["not_looked_at"] == {}
    for what in (
        "shared memory",
        "contract",
        "server",
        "served",
        "processes",
        "allocator",
        "supervisor",
    ):
        assert what in said.report["looked_at"]
    assert said.report["looked_at"]["server"].endswith("is ready, with codes")
    assert re.search(r"codes answers \d+ images a second", said.report["looked_at"]["queues"])
    assert told.stdout.splitlines()[-1].startswith("healthy: looked at 2")
    assert told.returncode == 0
    assert told.stderr == ""
    # From outside, the server's own /dev/shm counts.
    assert "of 1024 MB free" in outside.report["looked_at"]["shared memory"]


def report_of(*options: str, before: list[str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*(before or ()), *framewire("doctor", *options)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )


def test_requests_that_wait_and_are_not_taken_together(
    tiny_repository: Path, tmp_path: Path
) -> None:
    repository = Path(shutil.copytree(tiny_repository, tmp_path / "models"))
    without_batching(repository, "tiny_preprocess")
    with (
        bare_triton(repository) as triton,
        traffic(triton.grpc_url, "tiny", LARGE, at_once=12),
    ):
        said = doctor("--url", triton.grpc_url, "--watch-seconds", "2")
    told = next(each for each in said.all_of("no-batches") if "for tiny_preprocess" in each)
    assert "for tiny_preprocess, and it took them one by one" in told
    assert "its config has no dynamic_batching" in told
    assert "`framewire build MODEL --name tiny --replace`" in told
    # And as nothing else takes so long, it holds up all.
    assert "waiting for tiny_preprocess" in said.the("bottleneck")


def test_a_network_that_holds_up_all(server: Serving) -> None:
    # Two of its batches and a half: as many as are with it at a time, and some that wait.
    with traffic(server.url, "codes", SMALL, at_once=40):
        # A busy machine may need longer for enough answers.
        for seconds in ("2", "8", "30"):
            said = doctor("--url", server.url, "--watch-seconds", seconds)
            if "bottleneck" in said.names():
                break
    told = said.the("bottleneck")
    assert re.search(r"about \d+ images of codes were with codes_network at any time", told)
    assert "which holds all to" in told
    assert "--runtime tensorrt" in told
    assert "no-batches" not in said.names()


def test_frames_that_are_decoded_faster_than_the_network_takes_them() -> None:
    with (
        bare_triton(ROOT / "model_repository") as triton,
        camera_that_waits_for_nobody(triton.grpc_url, "codes", SMALL, per_s=120),
    ):
        said = doctor("--url", triton.grpc_url, "--watch-seconds", "2")
    told = said.the("network-behind")
    assert re.search(r"about \d+ were with it at any time.* waited \d+ ms to be decoded", told)
    assert "--in-flight" in told


def test_requests_that_fail(server: Serving) -> None:
    with traffic(server.url, "tiny", b"no picture at all", at_once=2):
        said = doctor("--url", server.url, "--watch-seconds", "2")
    told = said.the("requests-failing")
    found = re.search(r"warning: (\d+) of (\d+) requests to tiny failed or were refused", told)
    assert found
    # Where nobody else is answered, a canary now and then is.
    failed, ended = map(int, found.groups())
    assert ended - 5 <= failed <= ended
    assert f"--url {server.url}" in told


def test_without_the_admin_key_it_says_so_and_does_not_guess(
    tiny_repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ADMIN_KEY_VARIABLE, KEY)
    with (
        serving.serving(tiny_repository, "--restrict") as server,
        traffic(server.url, "tiny", SMALL, at_once=1),
    ):
        with_key = doctor("--url", server.url, "--watch-seconds", "1")
        monkeypatch.delenv(ADMIN_KEY_VARIABLE)
        without = doctor("--url", server.url, "--watch-seconds", "1")
    assert "queues" in with_key.report["looked_at"]
    assert "statistics-restricted" not in with_key.names()
    told = without.the("statistics-restricted")
    assert told.startswith("hint: ")
    assert ADMIN_KEY_VARIABLE in told
    assert ADMIN_KEY_VARIABLE in without.report["not_looked_at"]["queues"]
    assert "with the admin key" in without.report["looked_at"]["access"]
    # What needs no key is told all the same.
    assert without.report["looked_at"]["server"].endswith("is ready, with tiny")
    assert KEY not in str(without.report) + str(with_key.report)


def test_what_a_killed_server_left(tiny_repository: Path, tmp_path: Path) -> None:
    server = Serving(tiny_repository)
    server.wait_until_ready()
    triton = server.triton_pid()
    family = [*children(triton), triton, server.process.pid]
    clean = doctor("--repository", tiny_repository)
    try:
        # All at once, as where memory runs out or a container ends.
        for pid in reversed(family):
            os.kill(pid, signal.SIGSTOP)
        for pid in family:
            os.kill(pid, signal.SIGKILL)
        server.process.wait()
        regions = shared_memory_of(server.process.pid)
        assert len(regions) == 6
        said = doctor("--repository", tiny_repository)
        (told,) = said.all_of("leftover-shared-memory")
        pattern = regions[0][:-36]
        assert f"{SHM_FOLDER}/{pattern}*" in told
        assert pattern not in str(clean.report)
        (folder,) = folders_in(said, of=tiny_repository)
        assert folders_in(clean, of=tiny_repository) == []
        shutil.rmtree(folder)
    finally:
        server.stop()
    assert pattern not in str(doctor("--repository", tiny_repository).report)


def folders_in(said: Said, of: Path) -> list[Path]:
    """Folders that are to be removed, of servers of one repository."""
    found = " ".join(said.all_of("leftover-scratch-folder"))
    folders = [
        Path(word) for words in re.findall(r"`rm -r ([^`]*)`", found) for word in words.split()
    ]
    return [folder for folder in folders if (folder / "repository").resolve() == of]


def test_plain_words_for_people(tmp_path: Path, tiny_repository: Path) -> None:
    small = with_shared_memory(16)
    ports = [str(port) for port in free_ports(4)]
    options = zip(PORT_OPTIONS, ports, strict=True)
    done = report_of(
        *("--repository", str(tiny_repository), "--watch-seconds", "0.1"),
        *(word for pair in options for word in pair),
        before=small,
    )
    assert done.returncode == 1
    assert "error: shared-memory-small: /dev/shm has 16 MB" in done.stdout
    assert "    mend: `docker run --shm-size" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("ill: looked at ")
    assert done.stderr == "framewire: 1 thing is wrong or slow, listed above\n"
