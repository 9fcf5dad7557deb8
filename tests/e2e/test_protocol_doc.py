"""docs/protocol.md says what the contract says, and what a server does."""

from __future__ import annotations

import http.client
import json
import re
import struct
from collections.abc import Iterator

import grpc
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from builder.pipelines.repository import build_pipeline
from builder.settings import BuildSettings
from tests import images
from tests.conftest import ROOT
from tests.e2e.packets import conversation, status, timestamp
from tests.serving import Serving, serving
from tests.tiny_detector import coloured_square, save_tiny_detector
from thin_client.contract import (
    PIPELINE_INPUTS,
    PIPELINE_OUTPUTS,
    REQUEST_PARAMETERS,
    STATUS_SENTENCES,
    STREAM_INPUTS,
    STREAM_OPTIONS,
    STREAM_OUTPUTS,
    STREAM_PARAMETERS,
    Codec,
    PipelineParameter,
)

DOCUMENT = (ROOT / "docs" / "protocol.md").read_text()
JPEG = images.encoded(coloured_square("red"), ".jpg")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    folder = tmp_path_factory.mktemp("protocol")
    model = save_tiny_detector(folder / "tiny.onnx")
    build_pipeline(model, folder / "repository", BuildSettings("tiny", stream=True))
    with serving(folder / "repository") as running:
        yield running


def test_every_tensor_is_in_a_table() -> None:
    for tensor in (*PIPELINE_INPUTS, *PIPELINE_OUTPUTS):
        shape = ", ".join(["n", *map(str, tensor.shape)])
        assert re.search(
            rf"^\| `{tensor.name}` (in|out) \| {tensor.datatype} \[{shape}\] \|", DOCUMENT, re.M
        )
    for tensor in {*STREAM_INPUTS, *STREAM_OUTPUTS} - {*PIPELINE_OUTPUTS}:
        assert re.search(
            rf"^\| `{tensor.name}` (in|out) \| {tensor.datatype} \[1, 1\] \|", DOCUMENT, re.M
        )


def test_every_status_is_in_the_table() -> None:
    for code, sentence in STATUS_SENTENCES.items():
        assert re.search(
            rf"^\| {int(code)} \| (streams only: )?{re.escape(sentence)} \|$", DOCUMENT, re.M
        )


def test_every_parameter_is_explained() -> None:
    for name in (*REQUEST_PARAMETERS, *STREAM_PARAMETERS, *STREAM_OPTIONS):
        assert re.search(rf"^\| `{name}` \|", DOCUMENT, re.MULTILINE), name
    for key in PipelineParameter:
        assert f"`{key.value}`" in DOCUMENT
    for codec in Codec:
        assert f"`{codec.value}`" in DOCUMENT


def test_an_error_in_a_conversation_does_not_end_it(server: Serving) -> None:
    with conversation(server.url) as talk:
        talk.send("tiny_stream", 1, JPEG, timestamp=1)
        talk.send("tiny_stream", 1, JPEG, timestamp=2, start=True, codec="vp9")
        talk.send("tiny_stream", 1, JPEG, timestamp=3)
        talk.send("tiny_stream", 1, JPEG, timestamp=4, start=True, codec="mjpeg")
        talk.send("tiny_stream", 1, JPEG, timestamp=5, end=True)
        said = []
        for _ in range(3):
            with pytest.raises(Exception, match=r"in ensemble 'tiny_stream', ") as error:
                talk.receive()
            said.append(str(error.value))
        answers = [talk.receive()[1] for _ in range(2)]
    words = re.findall(
        r"^\| ((?:`[^`]+`(?:, )?)+) \|", DOCUMENT.split("Tell the cases")[1], re.MULTILINE
    )
    known = [word for cell in words for word in re.findall(r"`([^`]+)`", cell)]
    assert [next(word for word in known if word in each) for each in said] == [
        *("must specify the START flag", "parameter codec must be", "the stream is not open")
    ]
    assert [(status(answer), timestamp(answer)) for answer in answers] == [(0, 4), (0, 5)]


def test_a_stream_goes_over_http_too(server: Serving) -> None:
    found = []
    for number in range(3):
        parameters = {
            "sequence_id": 77,
            "sequence_start": number == 0,
            "sequence_end": number == 2,
            "codec": "mjpeg",
            "timestamp": number,
        }
        code, answer = post(server, "tiny_stream", "packet", parameters)
        assert code == 200, answer
        outputs = {each["name"]: each["data"] for each in answer["outputs"]}
        found.append((outputs["frame_index"], outputs["frame_timestamp"], outputs["num_dets"]))
    assert found == [([number], [number], [1]) for number in range(3)]


@pytest.mark.parametrize(
    ("model", "tensor", "parameters", "grpc_status", "http_status"),
    [
        ("tiny", "image", {"conf": "7"}, "INVALID_ARGUMENT", 400),
        ("tiny", "picture", {}, "INVALID_ARGUMENT", 400),
        ("tiny_stream", "packet", {"sequence_id": 5}, "INVALID_ARGUMENT", 400),
        ("nobody", "image", {}, "NOT_FOUND", 404),
    ],
)
def test_errors_have_the_status_of_the_table(
    server: Serving,
    model: str,
    tensor: str,
    parameters: dict[str, object],
    grpc_status: str,
    http_status: int,
) -> None:
    request = service_pb2.ModelInferRequest(model_name=model)
    request.inputs.add(name=tensor, datatype="BYTES", shape=[1, 1])
    request.raw_input_contents.append(struct.pack("<I", len(JPEG)) + JPEG)
    for name, value in parameters.items():
        if isinstance(value, int):
            request.parameters[name].int64_param = value
        else:
            request.parameters[name].string_param = str(value)
    with grpc.insecure_channel(server.url) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        with pytest.raises(grpc.RpcError) as error:
            stub.ModelInfer(request, timeout=30)
    assert error.value.code().name == grpc_status
    code, answer = post(server, model, tensor, parameters)
    assert code == http_status
    assert set(answer) == {"error"}
    assert re.search(rf"^\| {grpc_status} \| {http_status}\b", DOCUMENT, re.MULTILINE)


def post(
    server: Serving, model: str, tensor: str, parameters: dict[str, object]
) -> tuple[int, dict[str, list[dict[str, object]]]]:
    data = struct.pack("<I", len(JPEG)) + JPEG
    described = {
        "name": tensor,
        "datatype": "BYTES",
        "shape": [1, 1],
        "parameters": {"binary_data_size": len(data)},
    }
    head = json.dumps({"parameters": parameters, "inputs": [described]}).encode()
    connection = http.client.HTTPConnection("127.0.0.1", server.http_port, timeout=30)
    headers = {"Inference-Header-Content-Length": str(len(head))}
    connection.request("POST", f"/v2/models/{model}/infer", head + data, headers)
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    return answer.status, json.loads(text)
