"""Streams of which the network looks at some frames, and the tracker answers for the others."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from tritonclient.grpc import InferenceServerClient
from tritonclient.utils import InferenceServerException

from builder.pipelines.repository import build_pipeline
from builder.settings import BuildSettings, Track
from tests import images, videos
from tests.e2e.packets import Answer, Conversation, conversation, index, send, status, timestamp
from tests.e2e.wire import infer
from tests.metrics import scrape, total
from tests.serving import Serving, serving
from tests.slowed import slow_down
from tests.tiny_detector import coloured_square, save_tiny_detector
from thin_client.contract import ImageStatus, PipelineParameter

FRAME_US = 33_333
LOOK_S = 0.1
NOT_LOOKED_AT = int(ImageStatus.NOT_LOOKED_AT)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """``tiny`` tracks who asks, ``all`` everybody, ``none`` nobody.

    ``slow`` takes its time, and so does ``single``, which decodes in one process.
    """
    folder = tmp_path_factory.mktemp("looks")
    model, repository = save_tiny_detector(folder / "tiny.onnx"), folder / "repository"
    for name, track in (
        ("tiny", Track.ASKED),
        ("all", Track.ALL),
        ("none", Track.OFF),
        ("slow", Track.ASKED),
    ):
        settings = BuildSettings(name, conf=0.6, stream=True, track=track, max_batch=4)
        build_pipeline(model, repository, settings)
    single = BuildSettings("single", conf=0.6, stream=True, max_batch=4, instances=1)
    build_pipeline(model, repository, single)
    slow_down(repository, "slow", LOOK_S)
    slow_down(repository, "single", LOOK_S)
    with serving(repository, "--no-supervise") as running:
        yield running


@pytest.fixture
def client(server: Serving) -> Iterator[InferenceServerClient]:
    with InferenceServerClient(server.url) as client:
        yield client


def standing(count: int, codec: str = "h264", side: int = 16) -> list[bytes]:
    """Packets of a video of a red square that does not move."""
    picture = coloured_square("red", size=128, left=32, top=48, side=side)
    # Nothing but key frames: any packet may be left out.
    return videos.encoded(codec, [picture] * count, gop=1)


def watch(
    client: InferenceServerClient,
    model: str,
    stream: str,
    packets: Sequence[bytes],
    **options: object,
) -> list[Answer]:
    """Send packets one after the other with the times of 30 frames a second."""
    codec = str(options.pop("codec", "h264"))
    answers = []
    for number, packet in enumerate(packets):
        first = {"start": True, "codec": codec, **options} if number == 0 else {}
        last = {"end": True} if number == len(packets) - 1 else {}
        at = number * FRAME_US
        answers.append(send(client, model, stream, packet, timestamp=at, **first, **last))
    return answers


def looked(answers: Sequence[Answer]) -> list[int]:
    return [int(answer["looked_at"][0, 0]) for answer in answers]


def ids(answer: Answer) -> list[int]:
    return answer["track_ids"][0, : answer["num_dets"][0, 0]].tolist()


@pytest.mark.parametrize("model", ["tiny", "none", "all"])
def test_who_asks_for_nothing_has_every_frame_looked_at_and_the_boxes_of_before(
    server: Serving, client: InferenceServerClient, model: str
) -> None:
    packets = standing(6)
    frames = videos.decoded("h264", packets)
    answers = watch(client, f"{model}_stream", "plain", packets)
    assert looked(answers) == [1] * 6
    assert [ids(answer) for answer in answers] == [[1] if model == "all" else [0]] * 6
    for number, answer in enumerate(answers):
        expected = infer(server.url, model, [images.encoded(frames[number], ".png")])
        for name, values in expected.items():
            np.testing.assert_array_equal(answer[name], values, err_msg=name)


@pytest.mark.parametrize("codec", ["h264", "h265", "mjpeg"])
@pytest.mark.parametrize("asked", ["10", 10, 10.0])
def test_so_many_frames_a_second_are_looked_at_and_the_tracker_answers_for_the_others(
    client: InferenceServerClient, codec: str, asked: object
) -> None:
    answers = watch(
        client, "tiny_stream", "ten", standing(12, codec), codec=codec, detect_fps=asked
    )
    assert looked(answers) == [1, 0, 0] * 4
    assert [status(answer) for answer in answers] == [0] * 12
    assert [index(answer) for answer in answers] == list(range(12))
    assert [timestamp(answer) for answer in answers] == [n * FRAME_US for n in range(12)]
    for answer in answers:
        assert ids(answer) == [1]
        assert tuple(answer["image_size"][0]) == (128, 128)
        assert answer["det_classes"][0, 0] == 0
        np.testing.assert_allclose(answer["det_boxes"][0, 0], [32, 48, 48, 64], atol=0.5)


def test_where_nobody_tracks_a_frame_nobody_looked_at_says_so(
    client: InferenceServerClient,
) -> None:
    answers = watch(client, "none_stream", "untracked", standing(9), detect_fps=10)
    assert [status(answer) for answer in answers] == [0, NOT_LOOKED_AT, NOT_LOOKED_AT] * 3
    assert looked(answers) == [1, 0, 0] * 3
    assert [index(answer) for answer in answers] == list(range(9))
    for answer in answers:
        assert tuple(answer["image_size"][0]) == (128, 128)
        assert answer["num_dets"][0, 0] == (status(answer) == 0)
        assert not answer["track_ids"].any()


def test_turned_frames_that_nobody_looked_at_have_the_size_of_the_upright_frame(
    client: InferenceServerClient,
) -> None:
    pictures = [np.zeros((64, 128, 3), np.uint8)] * 4
    packets = videos.encoded("h264", pictures, gop=1)
    answers = watch(client, "none_stream", "turned", packets, detect_fps=1, rotation=90)
    assert [tuple(answer["image_size"][0]) for answer in answers] == [(64, 128)] * 4


def test_a_network_that_has_room_looks_at_all_frames_of_auto(
    client: InferenceServerClient,
) -> None:
    answers = watch(client, "tiny_stream", "auto", standing(12), detect_fps="auto")
    assert sum(looked(answers)) >= 10


def test_a_slow_network_costs_looks_and_neither_packets_nor_order(server: Serving) -> None:
    packets = standing(90)
    with conversation(server.url) as talk:
        begun = time.monotonic()
        for number, packet in enumerate(packets):
            first = {"start": True, "codec": "h264", "detect_fps": "auto"} if not number else {}
            talk.send("slow_stream", "busy", packet, timestamp=number * FRAME_US, **first)
            time.sleep(1 / 60)
        answers = [talk.receive()[1] for _ in packets]
        looks_fit = (time.monotonic() - begun) / LOOK_S
    assert [timestamp(answer) for answer in answers] == [n * FRAME_US for n in range(90)]
    assert [index(answer) for answer in answers] == list(range(90))
    assert {status(answer) for answer in answers} == {0}
    assert 3 <= sum(looked(answers)) <= looks_fit + 6
    assert sum(looked(answers)) < 80
    assert {tuple(ids(answer)) for answer in answers[2:]} == {(1,)}


def streams_side_by_side(
    server: Serving, settings: Sequence[dict[str, object]], packets: Sequence[bytes]
) -> list[list[Answer]]:
    """Send the same packets to several streams of ``slow``, 30 a second each."""

    def run(number: int) -> list[Answer]:
        with conversation(server.url) as talk:
            # As cameras are: none begins with another.
            time.sleep(number / 30 / len(settings))
            for at, packet in enumerate(packets):
                first = {"start": True, "codec": "h264", **settings[number]} if at == 0 else {}
                end = at == len(packets) - 1
                stream = f"side {number}"
                talk.send("slow_stream", stream, packet, timestamp=at * FRAME_US, end=end, **first)
                time.sleep(1 / 30)
            return [talk.receive()[1] for _ in packets]

    with ThreadPoolExecutor(len(settings)) as threads:
        return list(threads.map(run, range(len(settings))))


def test_streams_share_a_slow_network_fairly(server: Serving) -> None:
    answers = streams_side_by_side(server, [{"detect_fps": "auto"}] * 4, standing(240))
    for of_stream in answers:
        assert [index(answer) for answer in of_stream] == list(range(240))
    looks = [sum(looked(of_stream)) for of_stream in answers]
    assert min(looks) >= 0.7 * max(looks), looks


def test_a_stream_that_wants_few_looks_has_them_beside_one_that_wants_all(
    server: Serving,
) -> None:
    wanted = [{"detect_fps": 1}, {"detect_fps": "auto"}]
    few, many = streams_side_by_side(server, wanted, standing(150))
    assert 4 <= sum(looked(few)) <= 6
    assert sum(looked(many)) > 2 * sum(looked(few))


def test_a_stream_of_every_frame_and_one_of_some_are_both_answered(server: Serving) -> None:
    every, some = streams_side_by_side(server, [{}, {"detect_fps": "auto"}], standing(45))
    assert looked(every) == [1] * 45
    assert [index(answer) for answer in some] == list(range(45))
    assert 2 <= sum(looked(some)) < 45


@pytest.mark.parametrize("model", ["slow", "slow_bls"])
def test_pictures_and_streams_both_have_their_share_of_a_slow_network(
    server: Serving, model: str
) -> None:
    picture = images.encoded(coloured_square("red", size=128), ".png")
    packets = standing(240)
    seen = [0]
    ended = threading.Event()

    def ask() -> None:
        while not ended.is_set():
            infer(server.url, model, [picture])
            seen[0] += 1

    with ThreadPoolExecutor(12) as threads:
        asking = [threads.submit(ask) for _ in range(12)]
        time.sleep(1)
        before = seen[0]
        answers = streams_side_by_side(server, [{"detect_fps": "auto"}] * 3, packets)
        pictures = seen[0] - before
        ended.set()
        for each in asking:
            each.result()
    looks = sum(map(sum, map(looked, answers)))
    assert [len(of_stream) for of_stream in answers] == [240] * 3
    # Built to share by halves; 12 requests against two looks would else have six of seven.
    assert 0.3 <= looks / (looks + pictures) <= 0.7, (looks, pictures)


def test_frames_that_are_held_back_hold_up_no_other_stream(server: Serving) -> None:
    packet = standing(1)[0]
    answered: list[str] = []

    def receive(talk: Conversation, name: str, count: int) -> None:
        for _ in range(count):
            talk.receive()
            answered.append(name)

    with (
        conversation(server.url) as some,
        conversation(server.url) as every,
        ThreadPoolExecutor(2) as threads,
    ):
        some.send("single_stream", "some", packet, start=True, codec="h264", detect_fps=0.01)
        some.receive()
        for number in range(4):
            for stream in range(12):
                first = {"start": True, "codec": "h264"} if number == 0 else {}
                every.send("single_stream", f"every {stream}", packet, **first)
        of_every = threads.submit(receive, every, "every", 48)
        of_some = threads.submit(receive, some, "some", 10)
        for _ in range(10):
            some.send("single_stream", "some", packet)
        of_some.result()
        before = answered.count("every")
        of_every.result()
    # 48 looks take a second and more, in which four at a time are let into the network.
    assert before < 24


def test_a_stream_that_begins_anew_has_new_tracks(client: InferenceServerClient) -> None:
    for _ in range(2):
        answers = watch(client, "tiny_stream", "again", standing(4)[:3], detect_fps=10)
        assert [ids(answer) for answer in answers] == [[1]] * 3


def test_lost_packets_leave_tracks_and_long_gaps_end_them(client: InferenceServerClient) -> None:
    packets = standing(60)
    for gap, expected in ((5, [1]), (45, [2])):
        stream = f"gap {gap}"
        for number in (*range(12), *range(12 + gap, 14 + gap)):
            start = {"start": True, "codec": "h264", "track_buffer": 20} if number == 0 else {}
            answer = send(
                client,
                "tiny_stream",
                stream,
                packets[number],
                timestamp=number * FRAME_US,
                **start,
            )
        assert ids(answer) == expected


def test_a_key_frame_wait_leaves_tracks(client: InferenceServerClient) -> None:
    picture = coloured_square("red", size=128, left=32, top=48, side=16)
    packets = videos.encoded("h264", [picture] * 30, gop=10)
    kept = [number for number in range(30) if number != 12]
    answers = {}
    for number in kept:
        start = {"start": True, "codec": "h264", "detect_fps": 10} if number == 0 else {}
        answers[number] = send(
            client, "tiny_stream", "wait", packets[number], timestamp=number * FRAME_US, **start
        )
    waiting = [number for number in kept if status(answers[number]) == 7]
    assert waiting == list(range(13, 20))
    for number in waiting:
        assert ids(answers[number]) == []
        assert looked([answers[number]]) == [0]
    assert [ids(answers[number]) for number in range(20, 30)] == [[1]] * 10


def test_a_picture_of_another_size_ends_tracks(client: InferenceServerClient) -> None:
    small = coloured_square("red", size=64, left=32, top=0, side=8)
    parts = [*standing(4), *videos.encoded("h264", [small] * 4, gop=1)]
    answers = watch(client, "all_stream", "sizes", parts)
    assert [ids(answer) for answer in answers] == [[1]] * 4 + [[2]] * 4


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"detect_fps": "often"}, "parameter detect_fps must be auto or looks a second"),
        ({"detect_fps": 0}, "got '0'"),
        ({"detect_fps": -1}, "parameter detect_fps"),
        ({"detect_fps": True}, "parameter detect_fps"),
        ({"detect_fps": 1e9}, "at most 1000"),
        ({"track_high": 1.5}, "parameter track_high must be between 0 and 1, got '1.5'"),
        ({"track_low": "x"}, "parameter track_low must be between 0 and 1"),
        ({"track_low": 0.5, "track_high": 0.4}, "track_low must not be above track_high"),
        ({"track_buffer": 1.5}, "parameter track_buffer must be a whole number from 0"),
        ({"min_hits": 0}, "parameter min_hits must be a whole number from 1"),
    ],
)
def test_parameters_that_are_wrong_are_refused_in_words(
    client: InferenceServerClient, parameters: dict[str, object], words: str
) -> None:
    with pytest.raises(InferenceServerException, match=words):
        send(client, "tiny_stream", "wrong", standing(1)[0], start=True, codec="h264", **parameters)


def test_parameters_of_tracking_reach_the_tracker(client: InferenceServerClient) -> None:
    packets = standing(6)
    answers = watch(client, "tiny_stream", "late", packets, min_hits=3)
    assert [ids(answer) for answer in answers] == [[0], [0], [1], [1], [1], [1]]
    # The square scores 1, so no threshold below says it is nothing to track; one picture does.
    answers = watch(client, "tiny_stream", "at once", packets, min_hits="1")
    assert [ids(answer) for answer in answers] == [[1]] * 6


def test_a_pipeline_says_what_it_obeys(client: InferenceServerClient) -> None:
    said = {
        model: client.get_model_config(f"{model}_stream")
        .config.parameters[PipelineParameter.STREAM_OPTIONS.value]
        .string_value
        for model in ("tiny", "all", "none")
    }
    tracks = ",track_high,track_low,track_buffer,min_hits"
    assert said["none"] == "rotation,mirror,detect_fps"
    assert said["tiny"] == said["all"] == said["none"] + tracks


def test_the_network_gives_way_to_whoever_decodes(server: Serving) -> None:
    def niceness(model: str) -> set[int]:
        return {os.getpriority(os.PRIO_PROCESS, pid) for pid in server.model_pids(model)}

    (decode,) = niceness("tiny_decode")
    assert niceness("tiny_network") == {min(decode + 5, 19)}
    assert niceness("tiny_detect") == {decode}


def test_metrics_count_looks_and_frames_that_nobody_looked_at(
    server: Serving, client: InferenceServerClient
) -> None:
    def counts() -> list[float]:
        time.sleep(0.6)
        found = scrape(server.metrics_port)
        own = {"pipeline": "none"}
        return [
            total(found, "framewire_stream_frames_total", looked_at="true", **own),
            total(found, "framewire_stream_frames_total", looked_at="false", **own),
            total(found, "framewire_packets_total", status="not_looked_at", **own),
            total(found, "framewire_looks_total", **own),
        ]

    before = counts()
    watch(client, "none_stream", "counted", standing(9), detect_fps=10)
    after = counts()
    assert [b - a for a, b in zip(before, after, strict=True)] == [3, 6, 6, 3]
