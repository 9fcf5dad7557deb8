"""A pipeline is given other versions, with other labels, while clients are connected."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref

import grpc
import pytest

from thin_client import (
    AsyncDetector,
    ContractMismatch,
    Detector,
    InvalidRequestParameter,
    PipelineNotReady,
    RequestRefused,
    RetryPolicy,
)

AT_ONCE = RetryPolicy(attempts=5, first_delay_s=0, max_delay_s=0)
OLD, NEW = ("person", "dog", "cat"), ("cat", "person", "dog")
GONE = (grpc.StatusCode.UNAVAILABLE, "Socket closed")
QUEUE_FULL = (grpc.StatusCode.UNAVAILABLE, "in ensemble 'codes', Exceeds maximum queue size")


@pytest.fixture
def served(triton):
    """A server whose pipeline has version 1; it always finds the class 1."""
    triton.fake.serve_version(1, OLD)
    return triton


def test_an_answer_is_named_by_the_labels_of_the_version_it_is_from(served, make_detector):
    detector = make_detector(served.url, "codes")
    assert detector.detect(b"ok 1").labels == ("dog",)
    served.fake.serve_version(2, NEW)
    assert detector.detect(b"ok 1").labels == ("person",)
    assert detector.connect().version == "2"
    assert detector.connect().labels == NEW
    # And back again.
    served.fake.serve_version(1, OLD)
    assert detector.detect(b"ok 1").labels == ("dog",)
    assert detector.connect().version == "1"
    # Each version's config was read once, and nothing was sent twice.
    assert served.fake.calls == {"ModelConfig": 2, "ModelInfer": 3}


def test_every_image_of_a_split_batch_has_the_labels_of_its_own_version(served, make_detector):
    def change(images):
        if b"ok 3" in images:
            served.fake.serve_version(2, NEW)

    served.fake.before_answer = change
    results = make_detector(served.url).detect_batch([b"ok %d" % number for number in range(6)])
    assert [result.labels[0] for result in results] == ["person"] * 6
    served.fake.before_answer = lambda images: (
        served.fake.serve_version(1, OLD) if b"ok 4" in images else None
    )
    results = make_detector(served.url).detect_batch([b"ok %d" % number for number in range(6)])
    assert [result.labels[0] for result in results] == ["person"] * 4 + ["dog"] * 2


def test_a_class_that_has_another_index_by_now_is_asked_for_again(served, make_detector):
    detector = make_detector(served.url, "codes")
    detector.detect(b"ok 1", classes=["dog"])
    served.fake.serve_version(2, NEW)
    detector.detect(b"ok 1", classes=["dog"])
    asked = [each.parameters["classes"].string_param for each in served.fake.requests]
    assert asked == ["1", "1", "2"]
    detector.detect(b"ok 1", classes=["dog"])
    assert served.fake.requests[-1].parameters["classes"].string_param == "2"
    assert len(served.fake.requests) == 4


def test_classes_by_number_are_not_asked_for_again(served, make_detector):
    detector = make_detector(served.url, "codes")
    detector.detect(b"ok 1", classes=[1])
    served.fake.serve_version(2, NEW)
    assert detector.detect(b"ok 1", classes=[1]).labels == ("person",)
    assert served.fake.calls["ModelInfer"] == 2


def test_a_class_that_the_new_version_has_not_is_refused(served, make_detector):
    detector = make_detector(served.url, "codes")
    detector.detect(b"ok 1", classes=["cat"])
    served.fake.serve_version(2, ("person", "dog"))
    with pytest.raises(InvalidRequestParameter, match="no class 'cat'; it has person, dog"):
        detector.detect(b"ok 1", classes=["cat"])


def test_a_class_that_only_the_new_version_has_is_found(served, make_detector):
    detector = make_detector(served.url, "codes")
    detector.detect(b"ok 1")
    served.fake.serve_version(2, ("cat", "wolf", "dog"))
    assert detector.detect(b"ok 1", classes=["wolf"]).labels == ("wolf",)
    assert [each.parameters["classes"].string_param for each in served.fake.requests] == ["", "1"]


def test_an_index_that_the_new_version_refuses_is_looked_up_again(served, make_detector):
    detector = make_detector(served.url, "codes")
    detector.detect(b"ok 1", classes=["cat"])
    served.fake.serve_version(2, ("cat", "dog"))
    served.fake.refusals.append(
        (grpc.StatusCode.INVALID_ARGUMENT, "classes must be from 0 to 1, got '2'")
    )
    assert detector.detect(b"ok 1", classes=["cat"]).labels == ("dog",)
    assert served.fake.requests[-1].parameters["classes"].string_param == "0"


def test_a_refusal_that_no_config_explains_is_told_at_once(served, make_detector):
    detector = make_detector(served.url, "codes")
    refusal = (grpc.StatusCode.INVALID_ARGUMENT, "conf is 7, not 0 to 1")
    served.fake.refusals.extend([refusal] * 2)
    with pytest.raises(InvalidRequestParameter, match=r"^conf is 7"):
        detector.detect(b"ok 1", conf=7)
    assert served.fake.calls == {"ModelConfig": 1, "ModelInfer": 1}
    with pytest.raises(RequestRefused, match=r"^conf is 7"):
        detector.detect(b"ok 1", conf=7, classes=["dog"])
    # The same version as before: not sent again.
    assert served.fake.calls == {"ModelConfig": 2, "ModelInfer": 2}


def test_batches_become_as_small_as_the_new_version_takes_them(served, make_detector):
    detector = make_detector(served.url, "codes")
    images = [b"ok %d" % number for number in range(4)]
    detector.detect_batch(images)
    served.fake.serve_version(2, NEW, max_batch_size=3)
    results = detector.detect_batch(images)
    assert [result.width for result in results] == [100, 101, 102, 103]
    assert {result.labels for result in results} == {("person",)}
    assert [each.inputs[0].shape[0] for each in served.fake.requests] == [4, 4, 3, 1]


def test_a_server_that_changed_again_before_its_config_was_read_is_asked_again(
    served, make_detector
):
    detector = make_detector(served.url, "codes")
    detector.connect()
    served.fake.serve_version(2, ("bird", "fish"))

    def change(response):
        if response.model_version == "2":
            served.fake.serve_version(3, NEW)

    served.fake.change_response = change
    # The labels of version 2 can be had from nobody any more.
    assert detector.detect(b"ok 1").labels == ("person",)
    assert served.fake.calls["ModelInfer"] == 2


def test_a_new_version_that_speaks_another_contract_is_refused(served, make_detector, config):
    detector = make_detector(served.url, "codes")
    detector.detect(b"ok 1")
    served.fake.version = "2"
    served.fake.configs["codes"] = config("codes", 2, contract_fingerprint="0123456789abcdef")
    with pytest.raises(ContractMismatch, match="speaks contract 0123456789abcdef"):
        detector.detect(b"ok 1")


def test_a_server_that_was_away_is_not_believed_to_be_the_same(served, make_detector):
    detector = make_detector(served.url, "codes", retry=AT_ONCE)
    detector.detect(b"ok 1")
    # Another server at the address, whose versions count from 1 too.
    served.fake.serve_version(1, NEW)
    served.fake.refusals.append(GONE)
    assert detector.detect(b"ok 1").labels == ("person",)
    assert served.fake.calls["ModelConfig"] == 2
    assert detector.detect(b"ok 1").labels == ("person",)
    assert served.fake.calls["ModelConfig"] == 2


def test_a_server_that_was_exchanged_while_nobody_called_is_not_believed(
    start_triton, make_detector
):
    first = start_triton()
    first.fake.serve_version(1, OLD)
    detector = make_detector(first.url, "codes")
    assert detector.detect(b"ok 1").labels == ("dog",)
    first.stop()
    # Its versions count from 1 too, and no call fails.
    second = start_triton(port=first.port)
    second.fake.serve_version(1, NEW)
    if isinstance(detector, Detector):
        pause_until(lambda: detector._versions._in_doubt)
    assert detector.detect(b"ok 1").labels == ("person",)
    assert second.fake.calls == {"ModelInfer": 1, "ModelConfig": 1}
    assert detector.detect(b"ok 1").labels == ("person",)
    assert second.fake.calls == {"ModelInfer": 2, "ModelConfig": 1}


def pause_until(condition, looks=500):
    """Wait for a thread of gRPC's, which has all the time of an idle client."""
    while looks and not condition():
        threading.Event().wait(0.01)
        looks -= 1


def test_a_detector_that_is_forgotten_is_collected(triton):
    detector = Detector(triton.url, "codes")
    detector.detect(b"ok 1")
    gone = weakref.ref(detector)
    del detector
    gc.collect()
    assert gone() is None


def test_an_async_detector_that_is_forgotten_ends_its_task(triton):
    async def forget() -> set[asyncio.Task]:
        detector = AsyncDetector(triton.url, "codes")
        await detector.detect(b"ok 1")
        gone = weakref.ref(detector)
        del detector
        gc.collect()
        await asyncio.sleep(0.1)
        assert gone() is None
        return asyncio.all_tasks() - {asyncio.current_task()}

    assert asyncio.run(forget()) == set()


def test_a_call_after_one_that_failed_does_not_believe_it_either(served, make_detector):
    detector = make_detector(served.url, "codes", retry=RetryPolicy(attempts=1))
    detector.detect(b"ok 1")
    served.fake.refusals.append((grpc.StatusCode.UNAVAILABLE, "version 1 is not at ready state"))
    with pytest.raises(PipelineNotReady):
        detector.detect(b"ok 1")
    served.fake.serve_version(1, NEW)
    assert detector.detect(b"ok 1").labels == ("person",)


def test_a_busy_server_is_the_same(served, make_detector):
    detector = make_detector(served.url, "codes", retry=AT_ONCE)
    served.fake.refusals.extend([QUEUE_FULL] * 3)
    detector.detect(b"ok 1")
    assert served.fake.calls == {"ModelConfig": 1, "ModelInfer": 4}


def test_a_number_that_was_given_twice_is_noticed_where_the_answers_have_other_sizes(
    served, make_detector
):
    detector = make_detector(served.url, "codes")
    config = served.fake.configs["codes"]
    config.parameters["max_det"].string_value = "9"
    with pytest.raises(ContractMismatch, match=r"expected INT32|expected FP32"):
        detector.detect(b"ok 1")
    config.parameters["max_det"].string_value = "5"
    assert detector.detect(b"ok 1").labels == ("dog",)


def test_a_config_that_names_no_version_is_that_of_every_answer(served, make_detector, config):
    served.fake.configs["codes"] = config("codes")
    detector = make_detector(served.url, "codes")
    for served.fake.version in ("7", "8"):
        assert detector.detect(b"ok 1").labels == ("dog",)
    assert served.fake.calls["ModelConfig"] == 1
    assert detector.connect().version == ""


@pytest.mark.parametrize("classes", [None, ["dog"]])
def test_servers_with_different_versions_behind_one_address(start_triton, make_detector, classes):
    servers = [start_triton(), start_triton()]
    for number, (server, labels) in enumerate(zip(servers, (OLD, NEW), strict=True), start=1):
        server.fake.serve_version(number, labels)
        # As a pipeline does: only what was asked for is found.
        server.fake.change_response = lambda response, fake=server.fake: answer_as_asked(
            fake, response
        )
    patient = RetryPolicy(attempts=1000, first_delay_s=0.01, max_delay_s=0.01)
    url = ",".join(server.url for server in servers)
    detector = make_detector(f"ipv4:{url}", "codes", retry=patient)
    found = set()
    while not all(server.fake.calls["ModelInfer"] for server in servers):
        detector.detect(b"ok 1")
    for server in servers:
        server.fake.requests.clear()
    for _ in range(20):
        found.add(detector.detect(b"ok 1", classes=classes).labels)
    if classes is None:
        assert found == {("dog",), ("person",)}
        return
    assert found == {("dog",)}
    # Each time somebody was asked by the index that a dog has there.
    asked = [
        each.parameters["classes"].string_param == str(labels.index("dog"))
        for server, labels in zip(servers, (OLD, NEW), strict=True)
        for each in server.fake.requests
    ]
    assert sum(asked) == 20


def answer_as_asked(fake, response):
    asked = fake.requests[-1].parameters["classes"].string_param
    if asked:
        for position, output in enumerate(response.outputs):
            if output.name == "det_classes":
                response.raw_output_contents[position] = (
                    int(asked).to_bytes(4, "little") + response.raw_output_contents[position][4:]
                )


def test_threads_that_share_a_detector_get_the_labels_of_their_answers(served):
    versions = {"1": OLD, "2": NEW, "3": ("x", "y", "z")}
    wrong = []
    stop = threading.Event()
    # The class 1 of each version, told by the number that its answer bears.
    named = {labels[1]: number for number, labels in versions.items()}

    def send(detector):
        while not stop.is_set():
            labels = detector.detect(b"ok 1").labels
            if labels[0] not in named:
                wrong.append(labels)

    with Detector(served.url, "codes") as detector:
        threads = [threading.Thread(target=send, args=(detector,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for turn in range(60):
            number = str(turn % 3 + 1)
            served.fake.serve_version(int(number), versions[number])
            assert named[detector.detect(b"ok 1").labels[0]] == number
        stop.set()
        for thread in threads:
            thread.join()
    assert wrong == []


def test_what_a_detector_is_told_again(served, make_detector):
    detector = make_detector(served.url, "codes")
    assert detector.connect().labels == OLD
    served.fake.serve_version(1, NEW)
    assert detector.connect().labels == OLD
    assert detector.refresh().labels == NEW
    assert detector.connect().labels == NEW


def test_a_report_is_of_the_version_that_is_there_now(served, make_detector):
    detector = make_detector(served.url, "codes")
    detector.connect()
    served.fake.serve_version(2, NEW)
    report = detector.report()
    assert (report.pipeline.version, report.pipeline.labels) == ("2", NEW)
    assert report.to_dict()["pipeline"]["version"] == "2"


def test_statistics_are_those_of_the_version_that_answers(served, make_detector):
    served.fake.serve_version(2, NEW)
    # After a rollback from 3, which is still loaded, and with 1 loaded too.
    served.fake.other_statistics = [("codes", "3", 99), ("codes", "1", 98), ("codes_bls", "3", 97)]
    report = make_detector(served.url, "codes").report()
    assert [each.images for each in report.statistics] == [12] * 5
