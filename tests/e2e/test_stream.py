"""Streams of video packets over gRPC, against their frames decoded here and sent as pictures."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from tritonclient.grpc import InferenceServerClient
from tritonclient.utils import InferenceServerException

from builder.cli import main
from builder.pipelines.repository import build_pipeline
from builder.settings import BuildSettings
from tests import images, videos
from tests.conftest import ROOT
from tests.e2e.packets import (
    Answer,
    StreamId,
    conversation,
    index,
    packet_input,
    send,
    send_all,
    status,
    timestamp,
)
from tests.e2e.test_pipeline import assert_nothing_leaks
from tests.e2e.wire import infer
from tests.h264_writer import Writer
from tests.metrics import scrape, total
from tests.serving import Serving, children, serving
from tests.tiny_detector import LABELS, coloured_square, save_tiny_detector
from thin_client.contract import (
    LOOK_OUTPUTS,
    STATUS_SENTENCES,
    STREAM_OUTPUTS,
    STREAM_STATUSES,
    ImageStatus,
    model_names,
    resolve_shape,
)

CODECS = ("h264", "h265", "mjpeg")
PHOTOGRAPH = ROOT / "samples" / "warehouse.jpg"
OK, WAITING, HELD_BACK, CORRUPT = 0, 7, 8, 9
IDLE_S = 2.0
MIB = 2**20


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """Pipelines that load in a moment: ``tiny``, and ``small`` with narrow limits."""
    folder = tmp_path_factory.mktemp("streams")
    model, repository = save_tiny_detector(folder / "tiny.onnx"), folder / "repository"
    # A low threshold, so that every frame has boxes to compare.
    build_pipeline(model, repository, BuildSettings("tiny", conf=0.1, stream=True))
    small = BuildSettings(
        "small",
        stream=True,
        instances=1,
        max_streams=4,
        max_stream_pixels=320 * 240,
        max_packet_bytes=2**16,
        max_stream_memory=9 * MIB,
        stream_idle_s=IDLE_S,
    )
    build_pipeline(model, repository, small)
    build_pipeline(model, repository, BuildSettings("moving", stream=True))
    with serving(repository, "--no-supervise") as running:
        yield running


@pytest.fixture
def client(server: Serving) -> Iterator[InferenceServerClient]:
    with InferenceServerClient(server.url) as client:
        yield client


@pytest.fixture(scope="module")
def packets() -> dict[str, list[bytes]]:
    pictures = list(videos.pan(PHOTOGRAPH, 20))
    return {codec: videos.encoded(codec, pictures) for codec in CODECS}


def assert_is_of(answer: Answer, url: str, picture: videos.Picture, model: str = "tiny") -> None:
    """Whether an answer is what the pipeline says of the same frame as a picture."""
    expected = infer(url, model, [images.encoded(picture, ".png")])
    for name, values in expected.items():
        np.testing.assert_array_equal(answer[name], values, err_msg=name)


def refused(
    client: InferenceServerClient,
    stream: StreamId,
    packet: bytes,
    model: str = "small_stream",
    **options: object,
) -> InferenceServerException:
    with pytest.raises(InferenceServerException) as refusal:
        send(client, model, stream, packet, **options)
    assert_nothing_leaks(refusal.value.message())
    return refusal.value


def test_outputs_have_the_names_types_and_shapes_of_the_contract(
    client: InferenceServerClient, packets: dict[str, list[bytes]]
) -> None:
    answer = send(client, "tiny_stream", 1, packets["h264"][0], start=True, end=True, codec="h264")
    outputs = (*STREAM_OUTPUTS, *LOOK_OUTPUTS)
    assert set(answer) == {tensor.name for tensor in outputs}
    datatypes = {"INT32": np.int32, "INT64": np.int64, "FP32": np.float32}
    for tensor in outputs:
        assert answer[tensor.name].dtype == datatypes[tensor.datatype]
        assert answer[tensor.name].shape == (1, *resolve_shape(tensor, max_det=300))
    assert index(answer) == 0
    assert timestamp(answer) == -1


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("stream", [7, "gate 3, north"])
def test_every_packet_is_answered_with_the_boxes_of_its_frame(
    server: Serving,
    client: InferenceServerClient,
    packets: dict[str, list[bytes]],
    codec: str,
    stream: StreamId,
) -> None:
    frames = videos.decoded(codec, packets[codec])
    answers = send_all(client, "tiny_stream", stream, packets[codec], codec)
    assert [(status(each), index(each), timestamp(each)) for each in answers] == [
        (OK, number, number) for number in range(20)
    ]
    for number, answer in enumerate(answers):
        assert answer["num_dets"][0, 0] > 0
        assert_is_of(answer, server.url, frames[number])


@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_b_frames_come_later_and_all_of_them_come(
    server: Serving, client: InferenceServerClient, codec: str
) -> None:
    packets = videos.encoded(codec, videos.pan(PHOTOGRAPH, 20), b_frames=3)
    frames = videos.decoded(codec, packets)
    sent = [*packets, *[b""] * 6]
    answers = send_all(client, "tiny_stream", 2, sent, codec)
    assert status(answers[0]) == HELD_BACK
    assert status(answers[-1]) == WAITING
    shown = [answer for answer in answers if status(answer) == OK]
    assert [index(answer) for answer in shown] == list(range(20))
    assert sorted(map(timestamp, shown)) == list(range(20))
    for answer in shown:
        assert_is_of(answer, server.url, frames[timestamp(answer)])


@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_a_lost_packet_costs_frames_up_to_the_next_key_frame(
    server: Serving, client: InferenceServerClient, packets: dict[str, list[bytes]], codec: str
) -> None:
    frames = videos.decoded(codec, packets[codec])
    sent = [number for number in range(20) if number != 5]
    answers = send_all(
        client, "tiny_stream", 3, [packets[codec][number] for number in sent], codec, numbers=sent
    )
    found = dict(zip(sent, answers, strict=True))
    assert [number for number in sent if status(found[number]) == OK] == [
        *range(5),
        *range(10, 20),
    ]
    assert {status(found[number]) for number in range(6, 10)} <= {WAITING, CORRUPT}
    for number in (*range(5), *range(10, 20)):
        assert_is_of(found[number], server.url, frames[number])
    empty = found[7]
    assert (index(empty), timestamp(empty), empty["num_dets"][0, 0]) == (-1, -1, 0)
    assert not empty["image_size"].any()


@pytest.mark.parametrize("codec", CODECS)
def test_a_corrupt_packet_harms_neither_its_stream_nor_another(
    server: Serving, client: InferenceServerClient, codec: str
) -> None:
    # Damage that H.265's decoder does not notice is told by the hash of the picture.
    hashed = {"x265-params": "hash=1"} if codec == "h265" else {}
    source = videos.encoded(codec, videos.pan(PHOTOGRAPH, 20), **hashed)
    frames = videos.decoded(codec, source)
    damaged = list(source)
    damaged[3] = b"no access unit"
    middle = len(damaged[12]) // 2
    damaged[12] = (
        videos.with_wrong_bytes(damaged[12], middle) if hashed else damaged[12][: middle // 2]
    )
    found: dict[str, list[Answer]] = {"whole": [], "damaged": []}
    for number in range(20):
        options = {"start": True, "codec": codec} if number == 0 else {}
        for name, packets in (("whole", source), ("damaged", damaged)):
            answer = send(client, "tiny_stream", name, packets[number], timestamp=number, **options)
            found[name].append(answer)
    assert [status(answer) for answer in found["whole"]] == [OK] * 20
    assert status(found["damaged"][3]) == CORRUPT
    assert status(found["damaged"][10]) == OK
    assert status(found["damaged"][12]) == CORRUPT
    for name, answers in found.items():
        for number, answer in enumerate(answers):
            if status(answer) == OK:
                assert_is_of(answer, server.url, frames[number])
            else:
                assert name == "damaged"


def test_streams_in_one_conversation_are_answered_in_order_and_never_mix(
    server: Serving, packets: dict[str, list[bytes]]
) -> None:
    # The same text and number, as ids, are two streams.
    sources: dict[StreamId, tuple[str, list[bytes]]] = {}
    for number, codec in enumerate([*CODECS, *CODECS]):
        colour = LABELS[number % 3]
        pictures = [
            coloured_square(colour, size=128, left=16 * step, top=16 * (number % 4), side=16)
            for step in range(8)
        ]
        stream = (
            number // 3 + 5 if codec == "h264" else f"{number}" if number > 3 else f"cam{codec}"
        )
        sources[stream] = codec, videos.encoded(codec, pictures)
    sources["5"] = "h264", packets["h264"][:8]
    with conversation(server.url) as talk:
        for number in range(8):
            for stream, (codec, source) in sources.items():
                options = {"start": True, "codec": codec} if number == 0 else {}
                talk.send(
                    "tiny_stream",
                    stream,
                    source[number],
                    timestamp=number,
                    end=number == 7,
                    **options,
                )
        answers = [talk.receive() for _ in range(8 * len(sources))]
    assert [request for request, _ in answers] == [
        str(number) for number in range(8) for _ in sources
    ]
    for at, (_, answer) in enumerate(answers):
        stream = list(sources)[at % len(sources)]
        codec, source = sources[stream]
        assert timestamp(answer) == at // len(sources)
        assert_is_of(answer, server.url, videos.decoded(codec, source)[at // len(sources)])


def test_fields_of_frames_may_be_packets_of_their_own(
    server: Serving, client: InferenceServerClient
) -> None:
    writer = Writer(columns=8, rows=8, references=2, fields=True)
    packets = []
    for number in range(6):
        first = writer.picture(
            "P" if number else "I", number, 2 * number, 2 * number, key=not number, bottom=False
        )
        packets.append(first if number else writer.sets() + first)
        packets.append(
            writer.picture("P", number, 2 * number + 1, 2 * number + 1, bottom=True, entries=2)
        )
    answers = send_all(client, "tiny_stream", "fields", [*packets, b""], "h264")
    assert [status(answer) for answer in answers] == [HELD_BACK, OK] * 6 + [WAITING]
    assert [index(answer) for answer in answers[1::2]] == list(range(6))
    assert [timestamp(answer) for answer in answers[1::2]] == list(range(0, 12, 2))
    frames = videos.decoded("h264", packets)
    for number, answer in enumerate(answers[1::2]):
        assert_is_of(answer, server.url, frames[2 * number])


@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_a_stream_of_open_groups_of_pictures_is_entered_in_the_middle(
    server: Serving, client: InferenceServerClient, codec: str
) -> None:
    name = "x264-params" if codec == "h264" else "x265-params"
    options = {"preset": "medium", name: "open-gop=1:scenecut=0:b-adapt=0"}
    pictures = videos.pan(PHOTOGRAPH, 30)
    packets = videos.encoded(codec, pictures, gop=10, b_frames=2, **options)
    frames = videos.decoded(codec, packets)
    numbers = list(range(5, 30))
    sent = [*packets[5:], *[b""] * 6]
    answers = send_all(client, "tiny_stream", 8, sent, codec, numbers=[*numbers, *[99] * 6])
    shown = {timestamp(answer): answer for answer in answers if status(answer) == OK}
    assert len(shown) >= 17
    assert {status(answer) for answer in answers} == {OK, WAITING, HELD_BACK}
    for number in list(shown)[::4]:
        assert_is_of(shown[number], server.url, frames[number])


def test_frames_change_their_size_in_a_stream(
    server: Serving, client: InferenceServerClient
) -> None:
    for codec in CODECS:
        parts = [
            videos.encoded(codec, videos.pan(PHOTOGRAPH, 3, width=width, height=height))
            for width, height in ((320, 240), (480, 362), (128, 240))
        ]
        answers = send_all(client, "tiny_stream", 4, sum(parts, []), codec)  # noqa: RUF017
        sizes = [tuple(answer["image_size"][0]) for answer in answers]
        assert sizes == [(320, 240)] * 3 + [(480, 362)] * 3 + [(128, 240)] * 3
        last = videos.decoded(codec, parts[2])
        assert_is_of(answers[8], server.url, last[2])


def test_thresholds_of_a_packet_hold_for_it_alone(
    client: InferenceServerClient, packets: dict[str, list[bytes]]
) -> None:
    counts = []
    for number, parameters in enumerate(({"codec": "h264"}, {"max_det": 3}, {"conf": "1"}, {})):
        answer = send(
            client, "tiny_stream", 5, packets["h264"][number], start=number == 0, **parameters
        )
        counts.append(int(answer["num_dets"][0, 0]))
    assert counts[1:3] == [3, 0]
    assert min(counts[0], counts[3]) > 3


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "the START flag"),
        ({"start": True}, "parameter codec must be one of h264, h265, mjpeg"),
        ({"start": True, "codec": "vp9"}, "got 'vp9'"),
        ({"start": True, "codec": 264}, "got '264'"),
        ({"start": True, "codec": "h264", "timestamp": "noon"}, "timestamp must be a whole number"),
        ({"start": True, "codec": "h264", "timestamp": -2}, "timestamp must be a whole number"),
        ({"start": True, "codec": "h264", "conf": 7}, "parameter conf must be"),
    ],
    ids=str,
)
def test_a_packet_that_says_the_wrong_thing_is_refused_in_words(
    client: InferenceServerClient,
    packets: dict[str, list[bytes]],
    options: dict[str, object],
    words: str,
) -> None:
    stream = f"wrong {words} {options}"
    error = refused(client, stream, packets["h264"][0], **options)
    assert error.status() == "StatusCode.INVALID_ARGUMENT"
    assert words in error.message()
    # The id is good for a stream all the same.
    answer = send(
        client, "small_stream", stream, packets["h264"][0], start=True, end=True, codec="h264"
    )
    assert status(answer) == OK


def test_a_stream_without_a_name_is_refused(
    client: InferenceServerClient, packets: dict[str, list[bytes]]
) -> None:
    with pytest.raises(InferenceServerException, match="non-zero or non-empty correlation ID"):
        client.infer("tiny_stream", packet_input(packets["h264"][0]))


def test_no_more_streams_than_the_limit_are_open(
    client: InferenceServerClient, packets: dict[str, list[bytes]]
) -> None:
    key = packets["mjpeg"][0]
    for stream in (11, 12, 13, 14):
        send(client, "small_stream", stream, key, start=True, codec="mjpeg")
    error = refused(client, 15, key, start=True, codec="mjpeg")
    assert error.status() == "StatusCode.UNAVAILABLE"
    assert "as many streams open as it may have" in error.message()
    assert "is not open" in refused(client, 15, key).message()
    # Who is in goes on, and who begins anew needs no second place.
    for stream in (11, 12, 13, 14):
        assert status(send(client, "small_stream", stream, key)) == OK
        send(client, "small_stream", stream, key, start=True, codec="mjpeg")
    for stream in (11, 12, 13, 14):
        send(client, "small_stream", stream, b"", end=True)
    assert status(send(client, "small_stream", 15, key, start=True, codec="mjpeg", end=True)) == OK


@pytest.mark.parametrize("codec", CODECS)
def test_frames_over_the_limit_are_refused_and_smaller_ones_go_on(
    client: InferenceServerClient, packets: dict[str, list[bytes]], codec: str
) -> None:
    large = videos.encoded(codec, videos.pan(PHOTOGRAPH, 2, width=322, height=240))
    send(client, "small_stream", 21, packets[codec][0], start=True, codec=codec)
    error = refused(client, 21, large[0])
    assert error.status() == "StatusCode.INVALID_ARGUMENT"
    assert "322x240 where at most 76800 pixels are allowed" in error.message()
    answers = [
        send(client, "small_stream", 21, packets[codec][10], end=True),
    ]
    assert [status(answer) for answer in answers] == [OK]


def test_a_packet_over_the_limit_is_refused(
    client: InferenceServerClient, packets: dict[str, list[bytes]]
) -> None:
    send(client, "small_stream", 22, packets["h264"][0], start=True, codec="h264")
    error = refused(client, 22, bytes(2**16 + 1))
    assert "the packet has 65537 bytes where at most 65536 are allowed" in error.message()
    assert status(send(client, "small_stream", 22, packets["h264"][1], end=True)) == OK


def test_decoders_over_the_memory_are_refused(client: InferenceServerClient) -> None:
    # A decoder of 320x240 with 16 references may take nearly 3 MiB, and all of them 9 MiB.
    hungry = videos.encoded(
        "h264", videos.pan(PHOTOGRAPH, 2), b_frames=3, preset="veryslow", refs="16", level="5.1"
    )
    for stream in (23, 24, 25):
        options = {"start": True, "codec": "h264"}
        assert status(send(client, "small_stream", stream, hungry[0], **options)) == HELD_BACK
    error = refused(client, 26, hungry[0], start=True, codec="h264")
    assert error.status() == "StatusCode.UNAVAILABLE"
    assert re.search(r"may need [23] MiB where \d are left", error.message())
    send(client, "small_stream", 23, b"", end=True)
    assert status(send(client, "small_stream", 26, hungry[0])) == HELD_BACK
    for stream in (24, 25, 26):
        send(client, "small_stream", stream, b"", end=True)


def test_a_stream_that_is_silent_for_too_long_is_closed(
    server: Serving, client: InferenceServerClient, packets: dict[str, list[bytes]]
) -> None:
    def closed() -> float:
        samples = scrape(server.metrics_port)
        return total(
            samples, "framewire_streams_closed_total", model="small_decode", reason="silent"
        )

    before = closed()
    for stream in (31, 32, 33, "34"):
        send(client, "small_stream", stream, packets["h264"][0], start=True, codec="h264")
    deadline = time.monotonic() + 60
    while closed() < before + 3:
        # One of them goes on.
        assert status(send(client, "small_stream", "34", b"")) in {OK, WAITING}
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert closed() == before + 3
    error = refused(client, 31, packets["h264"][1])
    assert error.status() == "StatusCode.INVALID_ARGUMENT"
    assert "START" in error.message()
    for stream in (31, 32, 33):
        answer = send(
            client, "small_stream", stream, packets["h264"][0], start=True, codec="h264", end=True
        )
        assert status(answer) == OK
    send(client, "small_stream", "34", b"", end=True)


def test_fifty_streams_come_and_go_and_leave_no_memory_behind(
    server: Serving, client: InferenceServerClient
) -> None:
    pictures = list(videos.pan(PHOTOGRAPH, 3, width=640, height=480))
    sources = {codec: videos.encoded(codec, pictures) for codec in ("h264", "h265")}

    def generation(number: int) -> None:
        streams = [f"{number}-{stream}" for stream in range(50)]
        for at in range(3):
            for place, stream in enumerate(streams):
                codec = ("h264", "h265")[place % 2]
                options = {"start": True, "codec": codec} if at == 0 else {}
                answer = send(client, "tiny_stream", stream, sources[codec][at], **options)
                assert status(answer) == OK
        held.append(memory())
        for stream in streams:
            send(client, "tiny_stream", stream, b"", end=True)
        left.append(memory())

    def memory() -> float:
        return sum(resident_mib(pid) for pid in model_processes(server, "tiny_decode"))

    held: list[float] = []
    left: list[float] = []
    for number in range(6):
        generation(number)
    # The first ones fill the pools of the allocator; after them nothing grows.
    assert max(left[3:]) < max(left[:3]) + 15, (held, left)
    assert max(held[3:]) < max(held[:3]) + 15, (held, left)


def model_processes(server: Serving, model: str) -> list[int]:
    found = []
    for pid in children(server.triton_pid()):
        if f"/{model}/" in Path(f"/proc/{pid}/cmdline").read_text():
            found.append(pid)
    assert found
    return found


def resident_mib(pid: int) -> float:
    """Memory of a process that it shares with nobody."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    private = [line.split()[1] for line in rollup.splitlines() if line.startswith("Private")]
    return sum(map(int, private)) / 1024


def test_packets_of_many_streams_share_the_networks_batches(
    server: Serving, packets: dict[str, list[bytes]]
) -> None:
    def batches(client: InferenceServerClient, model: str) -> dict[int, int]:
        statistics = client.get_inference_statistics(model).model_stats[0]
        return {each.batch_size: each.compute_infer.count for each in statistics.batch_stats}

    def watch(stream: int) -> None:
        with conversation(server.url) as talk:
            for number, packet in enumerate(packets["h264"]):
                options = {"start": True, "codec": "h264"} if number == 0 else {}
                talk.send(
                    "tiny_stream",
                    stream,
                    packet,
                    timestamp=number,
                    end=number == 19,
                    **options,
                )
            for number in range(20):
                assert timestamp(talk.receive()[1]) == number

    with InferenceServerClient(server.url) as client:
        models = ("tiny_decode", "tiny_network")
        before = {model: batches(client, model) for model in models}
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(watch, range(40, 48)))
        formed = {
            model: {
                size: count - before[model].get(size, 0)
                for size, count in batches(client, model).items()
                if count > before[model].get(size, 0)
            }
            for model in models
        }
    for sizes in formed.values():
        assert sum(size * count for size, count in sizes.items()) == 160
        assert max(sizes) > 1
        assert sum(sizes.values()) < 160, formed


def test_a_new_version_takes_streams_that_begin_anew(
    server: Serving,
    client: InferenceServerClient,
    packets: dict[str, list[bytes]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    repository = server.repository
    key = packets["h264"][0]
    send(client, "moving_stream", 50, key, start=True, codec="h264")
    model = repository.parent / "tiny.onnx"
    build_pipeline(model, repository, BuildSettings("moving", conf=0.2, stream=True))
    command = ["load", "moving", "--repository", str(repository), "--url", server.url]
    assert main(command) == 0, capsys.readouterr().err
    states = {
        (each.name, each.version)
        for each in client.get_model_repository_index().models
        if each.name.startswith("moving") and each.state == "READY"
    }
    assert states == {
        (name, "2") for name in (*model_names("moving").all, *model_names("moving").streaming)
    }
    error = refused(client, 50, packets["h264"][1], model="moving_stream")
    assert "START" in error.message()
    answer = send(client, "moving_stream", 50, key, start=True, codec="h264", end=True)
    assert status(answer) == OK


def test_streams_that_nobody_ended_do_not_hold_up_a_server_that_ends(
    tmp_path: Path, packets: dict[str, list[bytes]]
) -> None:
    model = save_tiny_detector(tmp_path / "tiny.onnx")
    build_pipeline(model, tmp_path / "repository", BuildSettings("tiny", stream=True))
    with serving(tmp_path / "repository") as server:
        with InferenceServerClient(server.url) as client:
            for stream in (1, 2, 3):
                packet = packets["h264"][0]
                send(client, "tiny_stream", stream, packet, start=True, codec="h264")
        assert server.stop() == 0
        # Triton would say here that it gave up after half a minute.
        assert server.error_text() == ""


def test_the_statuses_of_streams_have_sentences() -> None:
    assert {int(status) for status in STREAM_STATUSES} == {WAITING, HELD_BACK, CORRUPT}
    assert set(STATUS_SENTENCES) == set(ImageStatus)
