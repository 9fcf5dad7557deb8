"""Every way a server can fail a client, and the name the client gives it."""

from __future__ import annotations

import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import grpc
import pytest

from thin_client import (
    AccessDenied,
    AmbiguousPipeline,
    ContractMismatch,
    DeadlineExceeded,
    FramewireError,
    InvalidRequestParameter,
    NotAPipeline,
    PipelineNotFound,
    PipelineNotReady,
    RequestRefused,
    RetryPolicy,
    ServerFailed,
    ServerOverloaded,
    ServerUnreachable,
    errors,
)
from thin_client.contract import contract_fingerprint, model_names
from thin_client.failures import clean_sentence

AT_ONCE = RetryPolicy(attempts=5, first_delay_s=0, max_delay_s=0)
QUEUE_FULL = (grpc.StatusCode.UNAVAILABLE, "in ensemble 'codes', Exceeds maximum queue size")


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_overload_is_retried_until_the_server_answers(triton, make_detector):
    triton.fake.refusals.extend([QUEUE_FULL] * 4)
    detections = make_detector(triton.url, retry=AT_ONCE).detect(b"ok 7")
    assert detections.width == 107
    assert triton.fake.calls["ModelInfer"] == 5


def test_overload_that_lasts_is_named_after_the_last_try(triton, make_detector):
    triton.fake.refusals.extend([QUEUE_FULL] * 5)
    with pytest.raises(ServerOverloaded, match=r"\(Exceeds maximum queue size\); keep fewer"):
        make_detector(triton.url, retry=AT_ONCE).detect(b"ok 7")
    assert triton.fake.calls["ModelInfer"] == 5


def test_a_model_that_is_being_loaded_or_unloaded_is_asked_again(triton, make_detector):
    message = "Request for unknown model: 'codes' has no available versions"
    triton.fake.refusals.extend([(grpc.StatusCode.NOT_FOUND, message)] * 4)
    detections = make_detector(triton.url, retry=AT_ONCE).detect(b"ok 7")
    assert detections.width == 107
    assert triton.fake.calls["ModelInfer"] == 5


def test_a_call_that_a_stopping_server_broke_off_is_made_again(triton, make_detector):
    triton.fake.refusals.extend([(grpc.StatusCode.CANCELLED, "CANCELLED")] * 4)
    detections = make_detector(triton.url, retry=AT_ONCE).detect(b"ok 7")
    assert detections.width == 107
    assert triton.fake.calls["ModelInfer"] == 5
    triton.fake.refusals.extend([(grpc.StatusCode.CANCELLED, "CANCELLED")] * 5)
    with pytest.raises(PipelineNotReady, match="broke the call off"):
        make_detector(triton.url, retry=AT_ONCE).detect(b"ok 7")


def test_a_model_that_lost_its_process_is_asked_again_three_times_and_named(triton, make_detector):
    # Not as often as others: the request may be what ends its processes.
    message = "in ensemble 'codes', Stub process 'codes_preprocess_0_0' is not healthy."
    triton.fake.refusals.extend([(grpc.StatusCode.INTERNAL, message)] * 3)
    detections = make_detector(triton.url, retry=AT_ONCE).detect(b"ok 7")
    assert detections.width == 107
    assert triton.fake.calls["ModelInfer"] == 4
    triton.fake.refusals.extend([(grpc.StatusCode.INTERNAL, message)] * 5)
    with pytest.raises(PipelineNotReady, match="is not healthy"):
        make_detector(triton.url, retry=AT_ONCE).detect(b"ok 7")
    assert triton.fake.calls["ModelInfer"] == 8


def test_a_restricted_endpoint_is_not_asked_again_and_named(triton, make_detector):
    sentence = "This protocol is restricted, expecting header 'triton-grpc-protocol-x'"
    triton.fake.refusals.extend([(grpc.StatusCode.UNAVAILABLE, sentence)] * 5)
    with pytest.raises(AccessDenied, match=r"only with its admin key \(--header\)"):
        make_detector(triton.url, retry=AT_ONCE).detect(b"ok 7")
    assert triton.fake.calls["ModelInfer"] == 1


def test_each_request_of_a_split_batch_has_all_its_tries(triton, make_detector):
    triton.fake.refusals.extend([QUEUE_FULL] * 4)
    triton.fake.before_answer = lambda _: (
        triton.fake.refusals.extend([QUEUE_FULL] * 4)
        if triton.fake.calls["ModelInfer"] == 5
        else None
    )
    results = make_detector(triton.url, retry=AT_ONCE).detect_batch([b"ok 1"] * 8)
    assert len(results) == 8
    assert triton.fake.calls["ModelInfer"] == 10


@pytest.mark.parametrize(
    ("code", "details", "exception", "sentence"),
    [
        ("INVALID_ARGUMENT", "in ensemble 'codes', conf is 7, not 0 to 1", InvalidRequestParameter,
         "^conf is 7, not 0 to 1$"),
        ("INTERNAL", "RuntimeError: boom\n\nAt:\n  /models/model.py(3): execute", ServerFailed,
         r"internal: RuntimeError: boom\)"),
        ("UNKNOWN", "", ServerFailed, "no reason given"),
        ("NOT_FOUND", "Request for unknown model", PipelineNotFound, "no pipeline 'codes'"),
        ("UNAUTHENTICATED", "no token", AccessDenied, r"\(no token\)"),
        ("PERMISSION_DENIED", "not you", AccessDenied, r"\(not you\)"),
        ("RESOURCE_EXHAUSTED", "Received message larger than max", RequestRefused, "too large"),
        ("DEADLINE_EXCEEDED", "Deadline Exceeded", DeadlineExceeded, "within 30 s"),
        ("UNIMPLEMENTED", "Method not found!", NotAPipeline, "not speak Triton's protocol"),
    ],
)  # fmt: skip
def test_failure_that_will_not_pass_is_named_and_never_retried(
    triton, make_detector, code, details, exception, sentence
):
    triton.fake.refusals.append((grpc.StatusCode[code], details))
    with pytest.raises(exception, match=sentence) as caught:
        make_detector(triton.url, "codes", retry=AT_ONCE).detect(b"ok 7", conf=7)
    assert triton.fake.calls["ModelInfer"] == 1
    assert "\n" not in str(caught.value)
    assert "model.py" not in str(caught.value)


@pytest.mark.parametrize(
    ("code", "details", "exception"),
    [
        ("UNAVAILABLE", "model 'codes' version 1 is not at ready state", PipelineNotReady),
        ("UNAVAILABLE", "Server is stopping, scheduler has stopped", PipelineNotReady),
        ("UNAVAILABLE", "no healthy upstream", ServerUnreachable),
        ("UNAVAILABLE", "dropping frames, the queue is full", ServerOverloaded),
        ("RESOURCE_EXHAUSTED", "rate limit reached", ServerOverloaded),
    ],
)
def test_failure_that_may_pass_is_retried_and_then_named(
    triton, make_detector, code, details, exception
):
    triton.fake.refusals.extend([(grpc.StatusCode[code], details)] * 5)
    with pytest.raises(exception):
        make_detector(triton.url, retry=AT_ONCE).detect(b"ok 7")
    assert triton.fake.calls["ModelInfer"] == 5


def test_one_attempt_means_no_retry(triton, make_detector):
    triton.fake.refusals.append(QUEUE_FULL)
    with pytest.raises(ServerOverloaded):
        make_detector(triton.url, retry=RetryPolicy(attempts=1)).detect(b"ok 7")
    assert triton.fake.calls["ModelInfer"] == 1


def test_parameter_is_not_blamed_when_none_was_sent(triton, make_detector):
    triton.fake.refusals.append((grpc.StatusCode.INVALID_ARGUMENT, "max_det cannot be read"))
    with pytest.raises(RequestRefused) as caught:
        make_detector(triton.url).detect(b"ok 7")
    assert not isinstance(caught.value, InvalidRequestParameter)


def test_slow_answer_is_a_missed_deadline_and_a_timeout_error(triton, make_detector):
    release = threading.Event()
    triton.fake.before_answer = lambda _: release.wait()
    detector = make_detector(triton.url, timeout_s=0.5)
    try:
        with pytest.raises(DeadlineExceeded, match=r"did not answer within 0\.5 s") as caught:
            detector.detect(b"ok 7")
    finally:
        release.set()
    assert isinstance(caught.value, TimeoutError)


def test_retries_end_with_the_deadline_however_many_are_left(triton, make_detector):
    triton.fake.refuse_all = QUEUE_FULL
    many = RetryPolicy(attempts=10**9, first_delay_s=0.01, max_delay_s=0.05)
    with pytest.raises((ServerOverloaded, ServerUnreachable, DeadlineExceeded)):
        make_detector(triton.url, timeout_s=0.5, retry=many).detect(b"ok 7")


def test_no_server_is_unreachable_with_the_address_and_what_to_do(make_detector):
    port = unused_port()
    with pytest.raises(ServerUnreachable) as caught:
        make_detector(f"127.0.0.1:{port}", retry=AT_ONCE).detect(b"ok 7")
    assert f"127.0.0.1:{port}: the connection is refused; start one" in str(caught.value)


def test_a_name_that_does_not_resolve_is_said(make_detector):
    with pytest.raises(ServerUnreachable, match="does not resolve"):
        make_detector("no-such-host.invalid:8001", retry=AT_ONCE).detect(b"ok 7")


def test_a_server_that_accepts_and_stays_silent_is_unreachable(make_detector):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        port = silent.getsockname()[1]
        with pytest.raises(ServerUnreachable, match=r"no answer within 0\.5 s"):
            make_detector(f"127.0.0.1:{port}", timeout_s=0.5).detect(b"ok 7")


def test_an_http_server_is_recognised(make_detector):
    class Silent(BaseHTTPRequestHandler):
        def log_message(self, *args):
            pass

    with HTTPServer(("127.0.0.1", 0), Silent) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            with pytest.raises(ServerUnreachable, match="no gRPC endpoint, so check the port"):
                make_detector(f"127.0.0.1:{server.server_port}", retry=AT_ONCE).detect(b"ok 7")
        finally:
            server.shutdown()
            thread.join()


def test_a_server_that_restarts_is_found_again(start_triton, make_detector):
    first = start_triton()
    patient = RetryPolicy(attempts=10**6, first_delay_s=0.02, max_delay_s=0.1)
    detector = make_detector(first.url, retry=patient)
    detector.detect(b"ok 1")
    first.stop()
    restart = threading.Timer(0.3, start_triton, kwargs={"port": first.port})
    restart.start()
    try:
        assert detector.detect(b"ok 2").width == 102
    finally:
        restart.join()


def test_unknown_pipeline_names_the_choices(triton, make_detector):
    with pytest.raises(PipelineNotFound, match="no pipeline 'cats'; its pipelines: codes"):
        make_detector(triton.url, "cats").connect()


def test_pipeline_that_is_not_loaded_is_not_ready_and_says_why(triton, make_detector):
    del triton.fake.configs["codes"]
    triton.fake.index[0] = ("codes", "UNAVAILABLE", "Internal: no plan fits\n\nAt:\n  /m.py(1)")
    for model in ("codes", None):
        with pytest.raises(PipelineNotReady, match=r"\(Internal: no plan fits\)"):
            make_detector(triton.url, model).connect()


def entries(version: str, state: str, reason: str = "") -> list[tuple[str, ...]]:
    return [(name, state, reason, version) for name in model_names("codes").all]


@pytest.mark.parametrize("before", [True, False])
def test_after_a_change_one_version_that_is_ready_is_enough(triton, make_detector, before):
    # After a rollback the newer version is the one that is unloaded, and Triton lists it last.
    unloaded = entries("1" if before else "3", "UNAVAILABLE", "unloaded")
    ready = entries("2", "READY")
    triton.fake.index = unloaded + ready if before else ready + unloaded
    assert make_detector(triton.url).connect().model == "codes"


@pytest.mark.parametrize(
    ("index", "why"),
    [
        (
            entries("1", "UNAVAILABLE", "unloaded") + entries("2", "LOADING"),
            "loading",
        ),
        (
            entries("1", "UNAVAILABLE", "Internal: no plan fits")
            + entries("2", "UNAVAILABLE", "unloaded"),
            "Internal: no plan fits",
        ),
        (entries("10", "", "") + entries("9", "UNAVAILABLE", ""), "not loaded"),
        ([(name, "", "", "") for name in model_names("codes").all], "not loaded"),
    ],
)
def test_of_several_versions_that_are_not_ready_the_one_that_says_most_is_told(
    triton, make_detector, index, why
):
    del triton.fake.configs["codes"]
    triton.fake.index = index
    for model in ("codes", None):
        with pytest.raises(PipelineNotReady, match=rf"is not ready \({why}\)"):
            make_detector(triton.url, model).connect()


def test_unnamed_pipeline_is_the_only_one(triton, make_detector):
    triton.fake.index.append(("some_other_model", "READY", ""))
    assert make_detector(triton.url).connect().model == "codes"


def test_unnamed_pipeline_among_several_must_be_named(triton, make_detector):
    triton.fake.index += [(name, "READY", "") for name in model_names("animals").all]
    with pytest.raises(AmbiguousPipeline, match="several pipelines: animals, codes; name one"):
        make_detector(triton.url).connect()


def test_server_without_pipelines_lists_its_models(triton, make_detector):
    triton.fake.index = [("resnet", "READY", ""), ("bert", "READY", "")]
    with pytest.raises(PipelineNotFound, match="no Framewire pipeline, only: bert, resnet"):
        make_detector(triton.url).connect()


def test_other_contract_is_refused_with_both_fingerprints(triton, make_detector, config):
    changes = {"contract_fingerprint": "0123456789abcdef", "builder_version": "9.9"}
    triton.fake.configs["codes"] = config("codes", **changes)
    with pytest.raises(ContractMismatch) as caught:
        make_detector(triton.url).detect(b"ok 7")
    for part in ("9.9", "0123456789abcdef", contract_fingerprint()):
        assert part in str(caught.value)
    assert triton.fake.calls["ModelInfer"] == 0


def test_model_of_another_maker_is_not_a_pipeline(triton, make_detector, config):
    triton.fake.configs["codes"] = config("codes", contract_fingerprint=None)
    with pytest.raises(NotAPipeline, match="not a Framewire pipeline"):
        make_detector(triton.url).connect()


def test_inner_step_is_not_a_pipeline(triton, make_detector, config):
    step = config("codes_network")
    step.input[0].name = "frame"
    triton.fake.configs["codes_network"] = step
    with pytest.raises(NotAPipeline, match="takes frame and not an image"):
        make_detector(triton.url, "codes_network").connect()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"labels": None}, "has no parameter labels"),
        ({"labels": "{}"}, "labels is not a JSON array"),
        ({"labels": "not json"}, "cannot be read"),
        ({"max_det": "many"}, "cannot be read"),
    ],
)
def test_incomplete_config_is_a_mismatch(triton, make_detector, config, changes, sentence):
    triton.fake.configs["codes"] = config("codes", **changes)
    with pytest.raises(ContractMismatch, match=sentence):
        make_detector(triton.url).connect()


def test_pipeline_without_batching_is_a_mismatch(triton, make_detector, config):
    triton.fake.configs["codes"].max_batch_size = 0
    with pytest.raises(ContractMismatch, match="max_batch_size 0, expected at least 1"):
        make_detector(triton.url).connect()


def rename(response):
    response.outputs[1].name = "boxes"


def reshape(response):
    response.outputs[1].shape[1] = 7


def retype(response):
    response.outputs[1].datatype = "FP16"


def overcount(response):
    response.raw_output_contents[0] = (6).to_bytes(4, "little")


def invent_status(response):
    response.raw_output_contents[4] = (99).to_bytes(4, "little")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (rename, "answered without det_boxes"),
        (reshape, r"det_boxes as FP32 \[1, 7, 4\], expected FP32 \[1, 5, 4\]"),
        (retype, r"det_boxes as FP16 \[1, 5, 4\], expected FP32"),
        (overcount, "num_dets 6, expected a known status and 0 to 5"),
        (invent_status, "image_status 99"),
    ],
)
def test_answer_that_breaks_the_contract_is_a_mismatch(triton, make_detector, change, sentence):
    triton.fake.change_response = change
    with pytest.raises(ContractMismatch, match=sentence):
        make_detector(triton.url).detect(b"ok 7")


def test_every_failure_is_a_framewire_error():
    for name in errors.__all__:
        assert issubclass(getattr(errors, name), FramewireError)


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ("in ensemble 'a', the image is empty", "the image is empty"),
        ("[request id: 7] in ensemble 'a', in ensemble 'b', no", "no"),
        ("[StatusCode.INTERNAL] boom\nAt:\n  /x.py", "boom"),
        ("in ensemble we trust", "in ensemble we trust"),
        ("", ""),
    ],
)
def test_prefixes_and_tracebacks_are_cut(said, sentence):
    assert clean_sentence(said) == sentence
