"""Makes tests/fuzz/seeds anew: python -m tests.fuzz.make_seeds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from tritonclient.grpc import model_config_pb2, service_pb2

from tests import images, videos
from tests.fuzz.marker_programs import STEPS
from tests.fuzz.targets import SEPARATOR
from tests.h264_writer import Writer, recovery_point
from thin_client.contract import (
    FRAME_INDEX,
    FRAME_TIMESTAMP,
    PIPELINE_INPUTS,
    PIPELINE_OUTPUTS,
    PipelineParameter,
    contract_fingerprint,
    resolve_shape,
)

HERE = Path(__file__).parent
TYPES = {"INT32": np.int32, "FP32": np.float32, "INT64": np.int64}


def main() -> None:
    """Write every seed."""
    for target, kept in seeds().items():
        folder = HERE / "seeds" / target
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in kept.items():
            (folder / name).write_bytes(data)


def seeds() -> dict[str, dict[str, bytes]]:
    """The seeds of each target by name."""
    pictures = dict(_pictures())
    jpegs = [data for name, data in pictures.items() if name.endswith("jpg")]
    return {
        "image_headers": pictures,
        "image": pictures,
        "jpeg_markers": dict(_programs()),
        "request_parameters": dict(_parameters()),
        "gateway_message": {
            "plain": pictures["baseline.jpg"],
            "header": json.dumps(
                {
                    **{"id": 7, "conf": 0.4, "classes": ["red", 1], "max_det": 3},
                    **{"timestamp": 5, "damaged": "accept"},
                }
            ).encode()
            + b"\n"
            + pictures["baseline.jpg"],
            "words": b'{"id": "first", "class_agnostic": true, "iou": 1e-3}\nx',
        },
        "gateway_query": dict(_parameters()),
        "h264": dict(_h264()),
        "h265": {"stream": _video("h265")},
        "h264_headers": dict(_h264()),
        "h265_headers": {"stream": _video("h265")},
        "mjpeg": {"stream": SEPARATOR.join(jpegs)},
        "client_config": {"whole": _config(), "values": SEPARATOR.join(_config_values())},
        "client_answer": {"images": _answer(2), "packet": _answer(1)},
    }


def _pictures() -> Iterator[tuple[str, bytes]]:
    photograph = images.photograph(24, 16)
    yield "baseline.jpg", images.encoded(photograph)
    yield "rotated.jpg", images.with_orientation(images.encoded(photograph), 6)
    progressive = (cv2.IMWRITE_JPEG_PROGRESSIVE, 1, cv2.IMWRITE_JPEG_RST_INTERVAL, 2)
    yield "progressive.jpg", images.encoded(photograph, ".jpg", *progressive)
    yield "cmyk.jpg", images.with_pillow(Image.new("CMYK", (16, 16), (1, 2, 3, 4)), "JPEG")
    for extension in (".png", ".webp", ".bmp"):
        yield f"small{extension}", images.encoded(photograph, extension)
    rgb = images.rgb_image(photograph)
    yield "palette.png", images.with_pillow(rgb.quantize(8), "PNG")
    yield "lossless.webp", images.with_pillow(rgb, "WEBP", lossless=True)
    frames = {"save_all": True, "append_images": [rgb.rotate(180)]}
    yield "animated.webp", images.with_pillow(rgb, "WEBP", **frames)


def _programs() -> Iterator[tuple[str, bytes]]:
    """Programs of marker_programs: a picture, and then what is done to it where, and how much."""

    def program(source: int, *steps: tuple[str, int, int]) -> bytes:
        return bytes(
            [source, *(part for name, *rest in steps for part in (STEPS.index(name), *rest))]
        )

    yield "turned", program(0, ("fill", 0, 9), ("exif", 1, 5), ("fill", 1, 1))
    yield "stray", program(1, ("stray", 2, 16), ("zeros", 3, 7))
    yield "flood", program(3, ("flood", 1, 6), ("double", 5, 131))
    yield "scans", program(7, ("double", 4, 130), ("marker", 2, 0xDA))
    yield "no_end", program(2, ("cut", 6, 0), ("zeros", 6, 200))
    yield "lengths", program(5, ("length", 3, 130), ("code", 2, 0xE2), ("byte", 1, 3))
    yield "profile", program(6, ("double", 2, 0), ("application", 1, 18), ("swap", 1, 3))
    yield "cut", program(8, ("cut", 3, 1), ("leave out", 4, 0))


def _parameters() -> Iterator[tuple[str, bytes]]:
    yield "usual", SEPARATOR.join([b"0.4", b".5e-1", b"3", b"0, 2", b"true", b"1", b"accept"])
    yield "odd", SEPARATOR.join([b" +1. ", b"nan", b"1e9", b"-1,,x", b"maybe", b"1", b"some"])
    yield "numbers", SEPARATOR.join([b"#" + number.to_bytes(8, "big") for number in (0, 1, 2**63)])


def _video(codec: str, **options: int) -> bytes:
    pictures = [images.photograph(48, 32, seed) for seed in range(4)]
    return SEPARATOR.join(videos.encoded(codec, pictures, gop=3, **options))


def _h264() -> Iterator[tuple[str, bytes]]:
    yield "stream", _video("h264")
    yield "b_frames", _video("h264", b_frames=2)
    small = {"columns": 2, "rows": 2}
    # Fields; what is kept for long, and forgotten; numbers that are left out; what begins and ends.
    writer = Writer(**small, fields=True, reorder=None)
    fields = [
        writer.picture(
            "P" if number else "I",
            number // 2,
            number,
            number,
            key=not number,
            bottom=number % 2 > 0,
        )
        for number in range(4)
    ]
    yield "fields", SEPARATOR.join([writer.sets() + fields[0], *fields[1:]])
    writer = Writer(**small, references=3, gaps=True, order_type=1, lists=3)
    marking = [(4, 2), (3, 0, 1), (6, 0), (1, 0), (2, 0), (5,)]
    pictures = [writer.sets() + writer.picture("I", 0, 0, 0, key=True)]
    pictures.append(writer.picture("P", 1, 0, 1, marking=marking))
    pictures.append(writer.picture("B", 5, 0, 2, named=[(0, 1), (1, 0), (2, 0)], reference=False))
    yield "marking", SEPARATOR.join(pictures)
    writer = Writer(**small)
    begun = writer.sets() + recovery_point(1) + writer.picture("I", 3, 6, 0, slices=2)
    more = [writer.picture("P", number, 2 * number, number) for number in (4, 6)]
    yield "recovery", SEPARATOR.join([begun, *more, b"\0\0\1\x0a"])


def _config_values() -> list[bytes]:
    values = dict.fromkeys(PipelineParameter, b"1")
    values |= {
        PipelineParameter.CONTRACT: contract_fingerprint().encode(),
        PipelineParameter.LABELS: b'["red", "green"]',
        PipelineParameter.CONF: b"0.25",
    }
    return list(values.values())


def _config() -> bytes:
    config = model_config_pb2.ModelConfig(name="tiny", max_batch_size=4)
    for tensor in PIPELINE_INPUTS:
        config.input.add(name=tensor.name)
    for each, value in zip(PipelineParameter, _config_values(), strict=True):
        config.parameters[each.value].string_value = value.decode()
    return bytes(config.SerializeToString())


def _answer(batch: int) -> bytes:
    response = service_pb2.ModelInferResponse(model_name="tiny")
    for tensor in (*PIPELINE_OUTPUTS, FRAME_INDEX, FRAME_TIMESTAMP):
        shape = (batch, *resolve_shape(tensor, max_det=5))
        response.outputs.add(name=tensor.name, datatype=tensor.datatype, shape=shape)
        response.raw_output_contents.append(np.ones(shape, TYPES[tensor.datatype]).tobytes())
    return bytes(response.SerializeToString())


if __name__ == "__main__":
    main()
