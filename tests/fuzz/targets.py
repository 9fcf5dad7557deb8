"""Every parser that sees bytes from outside, as a function of bytes.

A target returns when its parser did what it must: gave a result that keeps its promises, or refused
in its own words. Whatever else it raises is a finding.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import suppress

import numpy as np
from contract import Codec
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from tritonclient.grpc import model_config_pb2, service_pb2

from bits import EndOfBitsError
from builder.gateway.frames import (
    ProtocolMisuse,
    parameters_from_query,
    read_frame,
    stream_from_query,
)
from decode import DecodeLimits, decode_image, upright_size
from exif import orientation_of
from formats import format_of, refused_format
from frames import FrameFormat, load_frame
from h264_pictures import H264Pictures
from h265_pictures import H265Pictures
from jpeg import INKS, read_header
from jpeg_scans import read_scans
from known_sets import KnownSets, MissingSetError
from nal_units import SLICES, NotAnnexBError, nal_units
from nms import Thresholds
from orientation import read_orientation
from parameter_sets import BadParameterSetError
from picture_decoder import MOST_HELD
from plain_jpeg import plain_jpeg
from png import read_png
from refusals import RefusedPacketError
from reorder import Reordering
from request_parameters import BadParameterError, damaged_images
from request_thresholds import ThresholdDefaults, thresholds_of_request
from stream import Stream
from tests.conftest import ROOT
from tests.fuzz.guards import as_libjpeg_reads, guarded
from tests.fuzz.marker_programs import made_jpeg
from thin_client.contract import (
    DETECT_FPS,
    OPTIONAL_PARAMETERS,
    PIPELINE_INPUTS,
    READ_STATUSES,
    REQUEST_PARAMETERS,
    ROTATIONS,
    STREAM_OPTIONS,
    TRACK_PARAMETERS,
    DamagedImages,
    PipelineParameter,
    contract_fingerprint,
)
from thin_client.errors import (
    ContractMismatch,
    FramewireError,
    InvalidRequestParameter,
)
from thin_client.parameters import wire_parameters
from thin_client.pipeline import Pipeline, pipeline_from_config
from thin_client.streaming.packets import read_answer
from thin_client.streaming.units import contents, parameter_sets
from thin_client.wire import read_response
from unreadable import UnreadableImageError

# Small, so that what is found is a fault of a parser and not the time that pixels take.
LIMITS = DecodeLimits(max_bytes=2**16, max_pixels=2**16)
WANTED = FrameFormat(64, 48, LIMITS)
RECTANGLES = FrameFormat(64, 48, LIMITS, stride=16)
LABELS = ("red", "green", "blue")
DEFAULTS = ThresholdDefaults(
    Thresholds(conf=0.25, iou=0.7, max_det=5, class_agnostic=False, suppressed=False), len(LABELS)
)
# Two segments, made canonical, may be longer than they were.
MOST_ADDED = 64
# Between the parts of an input that is several things: packets of a stream, values of parameters.
SEPARATOR = b"\xf0\x0f|"
MOST_PARTS = 16
PIPELINE = Pipeline(
    model="tiny",
    labels=LABELS,
    input_width=64,
    input_height=48,
    head="yolov8",
    conf=0.25,
    iou=0.7,
    max_det=5,
    class_agnostic=False,
    max_batch_size=4,
    builder_version="0",
)


def image_headers(data: bytes) -> None:
    """What is read of a picture before it is decoded."""
    format_of(data)
    refused_format(data)
    assert 1 <= orientation_of(data) <= 8
    with suppress(UnreadableImageError):
        png = read_png(data)
        assert png.plain.startswith(data[:8])
    with suppress(UnreadableImageError):
        header = read_header(data)
        scans = read_scans(data, header)
        plain = plain_jpeg(data, header, scans)
        assert len(plain) <= len(data) + MOST_ADDED
        # What was written anew is what was read.
        again = read_header(plain) if scans.pieces else header
        assert (again.width, again.height) == (header.width, header.height)


def image(data: bytes) -> None:
    """A picture, in every format, decoded whole and scaled, damaged and not."""
    with guarded():
        _decode(data)


def jpeg_markers(data: bytes) -> None:
    """A JPEG whose markers were put together by a program."""
    made = made_jpeg(data)
    with guarded():
        _decode(made.data)
        if made.orientation is not None:
            found = decode_image(made.data, LIMITS)
            source = decode_image(made.source, LIMITS)
            turned = source.bgr.transpose(1, 0, 2) if made.orientation >= 5 else source.bgr
            assert found.bgr.shape == turned.shape
            if made.orientation == 1:
                np.testing.assert_array_equal(found.bgr, source.bgr)
    theirs = as_libjpeg_reads(made.data)
    if theirs is not None:
        _assert_read_alike(made.data, theirs)


def _assert_read_alike(data: bytes, theirs: NDArray[np.uint8]) -> None:
    """What libjpeg has no word to say of is read, or we say why not."""
    ours, refused = None, ""
    try:
        ours = decode_image(data, LIMITS)
    except UnreadableImageError as refusal:
        refused = str(refusal)
    if ours is None:
        assert ": " in refused, refused
        return
    assert sorted(ours.bgr.shape) == sorted(theirs.shape)
    header = read_header(data)
    if orientation_of(header.exif) == 1 and len(header.components) != INKS:
        np.testing.assert_array_equal(ours.bgr, theirs)


def _decode(data: bytes) -> None:
    for drawn, damaged in ((None, False), (WANTED.drawn_size, True)):
        try:
            decoded = decode_image(data, LIMITS, drawn, accept_damaged=damaged)
        except UnreadableImageError as refusal:
            _assert_a_sentence(str(refusal))
            continue
        assert decoded.bgr.dtype == np.uint8
        assert decoded.bgr.ndim == 3
        assert decoded.width * decoded.height <= LIMITS.max_pixels
        assert damaged or not decoded.damaged
        # What the shape of its frame is made for.
        assert upright_size(data, LIMITS) == (decoded.width, decoded.height)
    frame = np.empty(WANTED.shape, np.uint8)
    loaded = load_frame(data, frame, WANTED, DamagedImages.ACCEPT)
    assert (loaded.status in READ_STATUSES) == (loaded.size != (0, 0))
    assert np.isfinite(loaded.geometry).all()


def request_parameters(data: bytes) -> None:
    """Parameters of a request, as Triton hands them on: a JSON object of texts and numbers."""
    names = (*REQUEST_PARAMETERS, "other", *OPTIONAL_PARAMETERS)
    given: dict[str, object] = {}
    for name, part in zip(names, _parts(data), strict=False):
        text = part.decode("utf-8", "surrogateescape").encode("utf-8", "replace").decode()
        given[name] = text
        # KServe's parameters are texts, booleans, and numbers of 64 bits.
        if part[:1] == b"#" and len(part) >= 9:
            given[name] = int.from_bytes(part[1:9], "big", signed=True)
    for nms in ("python", "graph"):
        defaults = ThresholdDefaults(DEFAULTS.thresholds, DEFAULTS.num_classes, nms)
        try:
            found = thresholds_of_request(json.dumps(given), defaults)
        except BadParameterError as refusal:
            _assert_a_sentence(str(refusal))
            continue
        assert 0 <= found.conf <= 1
        assert 0 <= found.iou <= 1
        assert 1 <= found.max_det <= DEFAULTS.thresholds.max_det
        assert all(0 <= each < len(LABELS) for each in found.classes or ())
    try:
        assert damaged_images(json.dumps(given)) in (None, *DamagedImages)
    except BadParameterError as refusal:
        _assert_a_sentence(str(refusal))
    try:
        renamed = dict(zip(STREAM_OPTIONS, given.values(), strict=False))
        assert read_orientation(renamed, Codec.H264).rotation in ROTATIONS
    except RefusedPacketError as refusal:
        _assert_a_sentence(str(refusal))


def gateway_message(data: bytes) -> None:
    """A message of a WebSocket: a header, or none, and a frame."""
    try:
        frame = read_frame(data, 3)
    except ProtocolMisuse as misuse:
        _assert_closes(str(misuse))
        return
    assert data.endswith(frame.image)
    json.dumps(frame.frame_id)
    if frame.refusal is None:
        with suppress(InvalidRequestParameter):
            wire_parameters(LABELS, **frame.parameters)


def gateway_query(data: bytes) -> None:
    """The query of a POST."""
    names = (*REQUEST_PARAMETERS, "other", *OPTIONAL_PARAMETERS)
    texts = [part.decode("utf-8", "replace") for part in _parts(data)]
    with suppress(InvalidRequestParameter):
        parameters = parameters_from_query(dict(zip(names, texts, strict=False)))
        wire_parameters(LABELS, **parameters)
    with suppress(ProtocolMisuse):
        stream_names = ("codec", *STREAM_OPTIONS, DETECT_FPS, *TRACK_PARAMETERS)
        stream = stream_from_query(dict(zip(stream_names, texts, strict=False)))
        assert stream is None or stream.orientation.rotation in ROTATIONS


def h264(data: bytes) -> None:
    """Packets of a stream."""
    _stream(Codec.H264, data)


def h265(data: bytes) -> None:
    """Packets of a stream."""
    _stream(Codec.H265, data)


def h264_headers(data: bytes) -> None:
    """What is read of packets before they are decoded, and what is made of it."""
    _headers(Codec.H264, H264Pictures(), data)


def h265_headers(data: bytes) -> None:
    """Likewise."""
    _headers(Codec.H265, H265Pictures(), data)


def mjpeg(data: bytes) -> None:
    """Packets of a stream."""
    _stream(Codec.MJPEG, data)


def client_config(data: bytes) -> None:
    """What a server says of its pipeline, and a client reads."""
    config = model_config_pb2.ModelConfig()
    with suppress(DecodeError):
        config.ParseFromString(data)
        _read_config(config)
    # The same with a config that gets past the first looks, of which the values are strange.
    config = model_config_pb2.ModelConfig(name="tiny", max_batch_size=4)
    for tensor in PIPELINE_INPUTS:
        config.input.add(name=tensor.name)
    names = [each.value for each in PipelineParameter]
    for name, part in zip(names, _parts(data), strict=False):
        config.parameters[name].string_value = part.decode("utf-8", "replace")
    config.parameters[PipelineParameter.CONTRACT.value].string_value = contract_fingerprint()
    _read_config(config)


def client_answer(data: bytes) -> None:
    """What a server answers, and a client reads."""
    response = service_pb2.ModelInferResponse()
    try:
        response.ParseFromString(data)
    except DecodeError:
        return
    with suppress(ContractMismatch):
        for detections in read_response(response, PIPELINE, 2):
            assert len(detections) <= PIPELINE.max_det
            detections.to_dict()
    with suppress(ContractMismatch):
        read_answer(response, PIPELINE, None)


TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target
    for target in (
        image_headers,
        image,
        jpeg_markers,
        request_parameters,
        gateway_message,
        gateway_query,
        h264,
        h265,
        h264_headers,
        h265_headers,
        mjpeg,
        client_config,
        client_answer,
    )
}


def _parts(data: bytes) -> list[bytes]:
    return data.split(SEPARATOR)[:MOST_PARTS]


def _stream(codec: Codec, data: bytes) -> None:
    stream = Stream(codec, RECTANGLES, lambda _: None)
    for number, packet in enumerate([*_parts(data), b""]):
        with suppress(RefusedPacketError):
            damaged = DamagedImages.ACCEPT if number % 2 else None
            with guarded():
                answer = stream.push(packet, number, damaged)
            assert (answer.index >= 0) == (answer.status in READ_STATUSES)
        if codec is not Codec.MJPEG:
            with suppress(NotAnnexBError):
                nal_units(packet, codec, LIMITS.max_pixels)
        # What the client does with packets of a camera.
        contents(packet, codec)
        parameter_sets(packet, codec)
    stream.close()


def _headers(codec: Codec, pictures: H264Pictures | H265Pictures, data: bytes) -> None:
    reserved: list[int] = []
    sets = KnownSets(codec, lambda _: None, reserved.append)
    reordering = Reordering()
    begun = False
    for packet in _parts(data):
        try:
            units = nal_units(packet, codec, LIMITS.max_pixels)
            sets.take(units)
            if not any(unit.kind in SLICES for unit in units):
                continue
            access = pictures.look(units, sets)
            sets.for_decoder(access.sets)
        except RefusedPacketError as refusal:
            _assert_a_sentence(str(refusal))
            continue
        except (NotAnnexBError, BadParameterSetError, EndOfBitsError, MissingSetError):
            continue
        if access.begins or not begun:
            begun = True
            pictures.begin()
            reordering.begin()
        place = pictures.advance()
        if not pictures.between_fields and not place.second:
            assert 0 <= reordering.decode(place.order, MOST_HELD) <= MOST_PARTS
    # No header makes a decoder promise less than nothing, or more than any could need.
    assert all(0 < size < 2**40 for size in reserved)


def _read_config(config: model_config_pb2.ModelConfig) -> None:
    with suppress(FramewireError):
        found = pipeline_from_config(config)
        assert found.max_det >= 1
        assert found.input_width >= 1
        found.label(0)


def _assert_a_sentence(text: str) -> None:
    assert text
    assert "\n" not in text
    assert "Traceback" not in text


def _assert_closes(reason: str) -> None:
    # What may go with the close of a WebSocket (RFC 6455, 5.5.1).
    assert len(reason.encode()) <= 123


def seeds(name: str) -> Iterator[bytes]:
    """The inputs of a target that are kept: files of seeds, and what was found."""
    for folder in ("seeds", "findings"):
        for file in sorted((HERE / folder / name).glob("*")):
            yield file.read_bytes()


HERE = ROOT / "tests" / "fuzz"
