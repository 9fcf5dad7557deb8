"""Detector and AsyncDetector against a server that answers as it should."""

from __future__ import annotations

import threading

import grpc
import numpy as np
import pytest

from thin_client import (
    BadImage,
    Detector,
    DetectorClosed,
    InvalidRequestParameter,
    RequestRefused,
)
from thin_client.contract import STATUS_SENTENCES, ImageStatus


def test_one_image_gives_its_detections(triton, make_detector):
    detections = make_detector(triton.url, "codes").detect(b"ok 7")
    assert detections.boxes_xyxy.tolist() == [[7, 8, 9, 10]]
    assert detections.scores.tolist() == [0.5]
    assert detections.classes.tolist() == [1]
    assert detections.labels == ("dog",)
    assert (detections.width, detections.height) == (107, 207)
    assert detections.status is ImageStatus.OK
    assert detections.error is None


@pytest.mark.parametrize("kind", [bytearray, memoryview])
def test_any_bytes_like_image_is_taken(triton, make_detector, kind):
    assert make_detector(triton.url).detect(kind(b"ok 7")).width == 107


@pytest.mark.parametrize("image", ["photo.jpg", np.zeros((2, 2, 3), np.uint8)])
def test_a_path_or_pixels_instead_of_bytes_is_a_type_error(triton, make_detector, image):
    with pytest.raises(TypeError, match="bytes of a JPEG"):
        make_detector(triton.url).detect(image)


def test_config_is_read_in_one_rpc_and_once(triton, make_detector):
    detector = make_detector(triton.url, "codes")
    pipeline = detector.connect()
    detector.detect(b"ok 1")
    detector.detect(b"ok 2")
    assert triton.fake.calls == {"ModelConfig": 1, "ModelInfer": 2}
    assert pipeline.labels == ("person", "dog", "cat")
    assert (pipeline.input_width, pipeline.input_height) == (640, 480)
    assert (pipeline.head, pipeline.max_det, pipeline.conf) == ("yolov8", 5, 0.25)


def test_nothing_is_sent_before_the_first_call(triton, make_detector):
    make_detector(triton.url, "codes")
    assert not triton.fake.calls


def test_bad_image_raises_the_servers_sentence_without_tritons_prefix(triton, make_detector):
    with pytest.raises(BadImage) as caught:
        make_detector(triton.url).detect(b"garbage")
    assert str(caught.value) == STATUS_SENTENCES[ImageStatus.CORRUPT]
    assert caught.value.status is ImageStatus.CORRUPT


def test_bad_image_in_a_batch_has_a_status_and_its_neighbours_are_answered(triton, make_detector):
    first, bad, last = make_detector(triton.url).detect_batch([b"ok 1", b"garbage", b"ok 3"])
    assert (first.width, last.width) == (101, 103)
    assert bad.status is ImageStatus.CORRUPT
    assert bad.error == STATUS_SENTENCES[ImageStatus.CORRUPT]
    assert len(bad) == 0
    assert bad.boxes_xyxy.shape == (0, 4)
    assert triton.fake.calls["ModelInfer"] == 1


def test_bad_image_that_is_alone_in_its_request_is_no_exception_in_a_batch(triton, make_detector):
    # Five images at four a request: the last one travels alone and is refused as a whole.
    results = make_detector(triton.url).detect_batch([b"ok 0", b"ok 1", b"ok 2", b"ok 3", b"bad"])
    assert [result.ok for result in results] == [True, True, True, True, False]
    assert results[4].status is ImageStatus.CORRUPT


def test_batch_beyond_the_servers_limit_is_split_and_keeps_its_order(triton, make_detector):
    images = [b"ok %d" % number for number in range(10)]
    results = make_detector(triton.url).detect_batch(images)
    assert [result.width for result in results] == [100 + number for number in range(10)]
    assert [request.inputs[0].shape[0] for request in triton.fake.requests] == [4, 4, 2]


def test_empty_batch_needs_no_request(triton, make_detector):
    assert make_detector(triton.url).detect_batch([]) == []
    assert not triton.fake.calls["ModelInfer"]


def test_parameters_travel_in_types_every_triton_knows(triton, make_detector):
    make_detector(triton.url).detect(
        b"ok 1",
        conf=0.5,
        iou=np.float32(0.25),
        max_det=3,
        classes=["dog", 2],
        class_agnostic=True,
        damaged="accept",
    )
    sent = triton.fake.requests[0].parameters
    assert sent["conf"].string_param == "0.5"
    assert sent["iou"].string_param == "0.25"
    assert sent["max_det"].int64_param == 3
    assert sent["classes"].string_param == "1,2"
    assert sent["class_agnostic"].bool_param is True
    assert sent["damaged"].string_param == "accept"


def test_parameters_left_out_are_not_sent(triton, make_detector):
    make_detector(triton.url).detect(b"ok 1", conf=None)
    assert set(triton.fake.requests[0].parameters) == {"timeout"}


def test_false_is_sent_and_is_not_the_same_as_left_out(triton, make_detector):
    make_detector(triton.url).detect(b"ok 1", class_agnostic=False, conf=0)
    sent = triton.fake.requests[0].parameters
    assert sent["class_agnostic"].WhichOneof("parameter_choice") == "bool_param"
    assert sent["conf"].string_param == "0.0"


@pytest.mark.parametrize(
    ("classes", "sentence"),
    [(["dgo"], "no class 'dgo'; it has dog"), ([], "classes is empty")],
)
def test_unusable_classes_are_refused_before_anything_is_sent(
    triton, make_detector, classes, sentence
):
    with pytest.raises(InvalidRequestParameter, match=sentence):
        make_detector(triton.url).detect(b"ok 1", classes=classes)
    assert not triton.fake.calls["ModelInfer"]


def test_unknown_parameter_is_a_type_error(triton, make_detector):
    with pytest.raises(TypeError, match="confidence"):
        make_detector(triton.url).detect(b"ok 1", confidence=0.5)


def test_class_without_a_label_is_called_by_its_number(triton, make_detector, config):
    triton.fake.configs["codes"] = config("codes", labels='["person"]')
    assert make_detector(triton.url).detect(b"ok 1").labels == ("1",)


def test_bls_variant_is_called_by_its_name(triton, make_detector):
    detector = make_detector(triton.url, "codes", bls=True)
    assert detector.connect().model == "codes_bls"
    detector.detect(b"ok 1")
    assert triton.fake.requests[0].model_name == "codes_bls"


def test_report_has_the_server_the_pipeline_and_its_models_statistics(triton, make_detector):
    report = make_detector(triton.url, "codes", bls=True).report()
    assert (report.server, report.server_version) == ("triton", "2.51.0")
    assert report.pipeline.model == "codes_bls"
    names = [statistics.model for statistics in report.statistics]
    assert names == ["codes", "codes_bls", "codes_preprocess", "codes_network", "codes_postprocess"]
    first = report.statistics[0]
    assert (first.images, first.executions, first.latency_ms, first.queue_ms) == (12, 3, 2.5, None)


def test_closed_detector_says_so(triton, make_detector):
    detector = make_detector(triton.url)
    detector.detect(b"ok 1")
    detector.close()
    with pytest.raises(DetectorClosed, match="closed"):
        detector.detect(b"ok 1")


def test_close_ends_requests_in_flight_in_other_threads(triton):
    arrived, release = threading.Event(), threading.Event()

    def hold(images):
        arrived.set()
        release.wait()

    triton.fake.before_answer = hold
    detector = Detector(triton.url, timeout_s=None)
    failures = []

    def detect():
        try:
            detector.detect(b"ok 1")
        except DetectorClosed as error:
            failures.append(error)

    thread = threading.Thread(target=detect)
    thread.start()
    assert arrived.wait(timeout=60)
    detector.close()
    thread.join(timeout=60)
    release.set()
    assert len(failures) == 1


def test_refusal_that_blames_nothing_known_is_reported_as_it_is(triton, make_detector):
    triton.fake.refusals.append((grpc.StatusCode.INVALID_ARGUMENT, "unexpected shape for input"))
    with pytest.raises(RequestRefused, match="unexpected shape for input") as caught:
        make_detector(triton.url).detect(b"ok 1")
    assert type(caught.value) is RequestRefused
