"""The pipeline over gRPC, with a detector whose answers are known: coloured squares."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from tritonclient.grpc import InferenceServerClient
from tritonclient.utils import InferenceServerException

from tests import images
from tests.e2e.wire import infer, rows
from tests.serving import Serving
from tests.tiny_detector import LABELS, coloured_square
from thin_client.contract import PIPELINE_OUTPUTS, STATUS_SENTENCES, ImageStatus, resolve_shape

VARIANTS = ("tiny", "tiny_bls")
BAD_IMAGES = images.bad_images()
SQUARES = {colour: images.encoded(coloured_square(colour), ".png") for colour in LABELS}


def best(answer: dict[str, np.ndarray], index: int = 0) -> tuple[float, ...]:
    return tuple(rows(answer, index)[0].tolist())


@pytest.mark.parametrize("model", VARIANTS)
def test_outputs_have_the_names_types_and_shapes_of_the_contract(
    server: Serving, model: str
) -> None:
    answer = infer(server.url, model, list(SQUARES.values()))
    assert set(answer) == {tensor.name for tensor in PIPELINE_OUTPUTS}
    datatypes = {"INT32": np.int32, "FP32": np.float32}
    for tensor in PIPELINE_OUTPUTS:
        assert answer[tensor.name].dtype == datatypes[tensor.datatype]
        assert answer[tensor.name].shape == (3, *resolve_shape(tensor, max_det=300))


@pytest.mark.parametrize("model", VARIANTS)
@pytest.mark.parametrize("colour", LABELS)
def test_a_square_is_found_where_it_is(server: Serving, model: str, colour: str) -> None:
    answer = infer(server.url, model, [SQUARES[colour]])
    assert best(answer) == (32, 0, 40, 8, 1, LABELS.index(colour))
    assert answer["image_size"].tolist() == [[64, 64]]


@pytest.mark.parametrize("model", VARIANTS)
def test_boxes_are_in_pixels_of_the_source(server: Serving, model: str) -> None:
    square = coloured_square("red", size=256, left=128, top=0, side=64)
    wide = np.zeros((256, 512, 3), np.uint8)
    wide[:, 128:384] = square
    # Letterboxed to 64x32 and 16 pixels down, the square is 8 pixels wide: a cell of stride 8.
    answer = infer(server.url, model, [images.encoded(wide, ".png")])
    assert best(answer) == (256, 0, 320, 64, 1, 0)
    assert answer["image_size"].tolist() == [[512, 256]]


@pytest.mark.parametrize("model", VARIANTS)
def test_boxes_are_in_pixels_of_the_upright_picture(server: Serving, model: str) -> None:
    picture = coloured_square("green", size=256, left=0, top=0, side=32)
    data = images.with_orientation(images.encoded(picture, ".jpg"), 6)
    box = rows(infer(server.url, model, [data]))[0]
    np.testing.assert_allclose(box[:4], [224, 0, 256, 32], atol=0.01)
    assert box[5] == 1


@pytest.mark.parametrize("model", VARIANTS)
@pytest.mark.parametrize("extension", [".jpg", ".png", ".webp", ".bmp"])
def test_every_format_is_read(server: Serving, model: str, extension: str) -> None:
    box = rows(infer(server.url, model, [images.encoded(coloured_square("blue"), extension)]))[0]
    np.testing.assert_allclose(box[:4], [32, 0, 40, 8])
    assert box[4] > 0.8
    assert box[5] == 2


@pytest.mark.parametrize("model", VARIANTS)
def test_images_of_a_batch_are_answered_in_order(server: Serving, model: str) -> None:
    order = [LABELS[index % 3] for index in range(16)]
    answer = infer(server.url, model, [SQUARES[colour] for colour in order])
    assert [LABELS[int(best(answer, index)[5])] for index in range(16)] == order


@pytest.mark.parametrize("model", VARIANTS)
@pytest.mark.parametrize("name", BAD_IMAGES)
def test_a_bad_image_alone_is_refused_in_words(server: Serving, model: str, name: str) -> None:
    with pytest.raises(InferenceServerException) as refusal:
        infer(server.url, model, [BAD_IMAGES[name][0]])
    assert refusal.value.status() == "StatusCode.INVALID_ARGUMENT"
    message = refusal.value.message()
    assert "the image" in message
    assert_nothing_leaks(message)


@pytest.mark.parametrize("model", VARIANTS)
def test_bad_images_in_a_client_batch_harm_no_neighbour(server: Serving, model: str) -> None:
    for names in chunks(list(BAD_IMAGES), 7):
        batch = [SQUARES["red"]]
        for number, name in enumerate(names):
            batch += [BAD_IMAGES[name][0], SQUARES[LABELS[number % 3]]]
        answer = infer(server.url, model, batch)
        assert best(answer, 0)[5] == 0
        for number, name in enumerate(names):
            bad, neighbour = 2 * number + 1, 2 * number + 2
            assert answer["image_status"][bad, 0] == ImageStatus[BAD_IMAGES[name][1]], name
            assert answer["num_dets"][bad, 0] == 0, name
            assert not answer["det_scores"][bad].any(), name
            assert answer["image_size"][bad].tolist() == [0, 0]
            assert answer["image_status"][neighbour, 0] == 0, name
            assert best(answer, neighbour) == (32, 0, 40, 8, 1, number % 3), name


def chunks(names: list[str], size: int) -> list[list[str]]:
    return [names[start : start + size] for start in range(0, len(names), size)]


@pytest.mark.parametrize("model", VARIANTS)
def test_bad_images_in_a_server_batch_harm_no_neighbour(server: Serving, model: str) -> None:
    requests = []
    for number, (data, _) in enumerate(BAD_IMAGES.values()):
        requests += [SQUARES[LABELS[number % 3]], data]

    def ask(data: bytes) -> object:
        try:
            return best(infer(server.url, model, [data]))
        except InferenceServerException as error:
            return error.status(), error.message()

    with ThreadPoolExecutor(24) as threads:
        answers = list(threads.map(ask, requests))
    for number, (good, bad) in enumerate(zip(answers[::2], answers[1::2], strict=True)):
        assert good == (32, 0, 40, 8, 1, number % 3)
        assert bad[0] == "StatusCode.INVALID_ARGUMENT"
        assert_nothing_leaks(bad[1])


@pytest.mark.parametrize("model", VARIANTS)
def test_a_batch_of_nothing_but_bad_images_is_answered(server: Serving, model: str) -> None:
    answer = infer(server.url, model, [b"", b"text"])
    assert answer["image_status"].ravel().tolist() == [
        ImageStatus.EMPTY,
        ImageStatus.UNSUPPORTED_FORMAT,
    ]
    assert not answer["num_dets"].any()


@pytest.mark.parametrize("model", VARIANTS)
def test_the_limits_of_a_pipeline_hold(server: Serving, model: str) -> None:
    large = images.encoded(np.zeros((1001, 1000, 3), np.uint8), ".png")
    with pytest.raises(InferenceServerException, match="at most 1000000 pixels"):
        infer(server.url, model, [large])
    heavy = SQUARES["red"] + bytes(2**20)
    with pytest.raises(InferenceServerException, match="at most 1048576 are allowed"):
        infer(server.url, model, [heavy])


@pytest.mark.parametrize("model", VARIANTS)
def test_a_request_overrides_the_thresholds(server: Serving, model: str) -> None:
    grey = images.encoded(np.full((64, 64, 3), (51, 102, 153), np.uint8), ".png")  # 0.2 0.4 0.6
    everything = 64 + 16 + 4

    def count(**parameters: object) -> int:
        return int(infer(server.url, model, [grey], **parameters)["num_dets"][0, 0])

    # Every anchor is red with 0.6; the pipeline was built with a threshold of 0.5.
    assert count(iou=1.0) == everything
    assert count(conf=0.7) == 0
    assert count(conf="0.7") == 0
    assert count(iou="1", max_det=5) == 5
    assert count(iou="1", max_det="7") == 7
    assert count(classes="1,2") == 0
    assert count(classes="0,2") > 0
    assert count(classes=0) == count(classes="0") > 0
    assert count(iou=0.0, class_agnostic=True) == count(iou=0, class_agnostic="true") < everything
    assert count(unrelated="parameter") > 0


@pytest.mark.parametrize("model", VARIANTS)
@pytest.mark.parametrize(
    "parameters",
    [
        {"conf": 1.5},
        {"conf": "high"},
        {"iou": -1},
        {"max_det": 0},
        {"max_det": 301},
        {"classes": "3"},
        {"classes": "red"},
        {"class_agnostic": "perhaps"},
    ],
    ids=str,
)
def test_a_parameter_out_of_range_is_refused_in_words(
    server: Serving, model: str, parameters: dict[str, object]
) -> None:
    with pytest.raises(InferenceServerException) as refusal:
        infer(server.url, model, [SQUARES["red"]], **parameters)
    assert refusal.value.status() == "StatusCode.INVALID_ARGUMENT"
    assert f"parameter {next(iter(parameters))} must" in refusal.value.message()
    assert_nothing_leaks(refusal.value.message())


@pytest.mark.parametrize("model", VARIANTS)
def test_thresholds_of_one_request_do_not_reach_another(server: Serving, model: str) -> None:
    def count(conf: float) -> int:
        return int(infer(server.url, model, [SQUARES["red"]], conf=conf)["num_dets"][0, 0])

    with ThreadPoolExecutor(16) as threads:
        thresholds = [0.99999, 1.0] * 40
        assert list(threads.map(count, thresholds)) == [count(0.99999), 0] * 40


def test_a_batch_over_the_limit_is_refused(server: Serving) -> None:
    with pytest.raises(InferenceServerException, match=r"<= 16"):
        infer(server.url, "tiny", [SQUARES["red"]] * 17)


def test_frames_from_many_clients_share_the_network(server: Serving) -> None:
    # The demo network takes tens of milliseconds, so frames must meet in its queue.
    picture = images.encoded(images.photograph())
    with InferenceServerClient(server.url) as client:
        before = client.get_inference_statistics("codes_network").model_stats[0]
        with ThreadPoolExecutor(12) as threads:
            list(threads.map(lambda _: infer(server.url, "codes", [picture]), range(24)))
        after = client.get_inference_statistics("codes_network").model_stats[0]
    assert after.inference_count - before.inference_count == 24
    assert after.execution_count - before.execution_count < 24


def test_both_pipelines_are_ready_side_by_side(server: Serving) -> None:
    with InferenceServerClient(server.url) as client:
        states = {model.name: model.state for model in client.get_model_repository_index().models}
    assert len(states) == 13
    assert set(states.values()) == {"READY"}


def test_every_status_has_a_sentence() -> None:
    assert set(STATUS_SENTENCES) == set(ImageStatus)


def assert_nothing_leaks(message: str) -> None:
    assert "Traceback" not in message
    assert ".py" not in message
    assert "/" not in message
    assert "\n" not in message
