"""A camera for a browser, and what is on the canvas of its page."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import av
import cv2
import grpc
import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2_grpc

from tests import images
from tests.gateway.chromium import Page
from tests.thin_client.streaming.videos import display_matrix
from thin_client import Connection, Detector
from thin_client.contract import Codec
from thin_client.streaming.packets import packet_request, read_answer

# What the page draws each class and each track with (page/overlay.js), RGB.
COLOURS = (
    *((0xE6, 0x9F, 0x00), (0x56, 0xB4, 0xE9), (0x00, 0xC7, 0x8C), (0xF0, 0xE4, 0x42)),
    *((0x3D, 0x8B, 0xFF), (0xFF, 0x6B, 0x35), (0xE0, 0x8F, 0xC0), (0xFF, 0xFF, 0xFF)),
)
# Another box may cross an edge and cover some of it.
LEAST_OF_AN_EDGE = 0.9
# Around an edge whose line is two pixels wide.
EDGE_REACH = 3
# As much as the longest label with its score needs, pixels of the canvas.
LABEL_HEIGHT, LABEL_WIDTH = 20, 200

CANVAS = "document.getElementById('boxes')"


def camera_options(picture: Path, folder: Path, size: tuple[int, int] = (1280, 720)) -> list[str]:
    """Options of Chromium for a camera that shows a picture for ever."""
    pixels = cv2.imread(str(picture))
    smaller = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    camera = folder / "camera.mjpeg"
    # JPEG files, one after the other, are what Chromium calls MJPEG.
    camera.write_bytes(images.encoded(smaller, ".jpg", cv2.IMWRITE_JPEG_QUALITY, 95) * 2)
    return [
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-video-capture={camera}",
    ]


def still_film(
    picture: Path, film: Path, size: tuple[int, int] = (1280, 720), rotation: int = 0
) -> None:
    """Write two seconds of a picture, H.264 in MP4, stored so that it is shown after a rotation."""
    upright = cv2.resize(cv2.imread(str(picture)), size, interpolation=cv2.INTER_AREA)
    pixels = np.ascontiguousarray(np.rot90(upright, rotation // 90))
    with av.open(film, "w") as container:
        video = container.add_stream("libx264", rate=15)
        video.height, video.width = pixels.shape[:2]
        video.pix_fmt = "yuv420p"
        if rotation:
            video.set_display_matrix(display_matrix(rotation, mirror=False))
        video.options = {"preset": "ultrafast", "crf": "12"}
        for _ in range(30):
            container.mux(video.encode(av.VideoFrame.from_ndarray(pixels, format="bgr24")))
        container.mux(video.encode())


def sent_frames(page: Page) -> dict[int, tuple[dict[str, Any], bytes]]:
    """Header and bytes of the frames that a page sent, by id."""
    frames = {}
    for message in page.sent:
        line, _, encoded = message.partition(b"\n")
        header = json.loads(line)
        frames[header["id"]] = (header, encoded)
    return frames


def detected_in_packets(
    url: str, model: str, packets: list[tuple[dict[str, Any], bytes]]
) -> list[list[dict[str, Any]]]:
    """What a server finds in headers and packets of H.264 that are a whole stream."""
    requests = [
        packet_request(
            model,
            packet,
            {"conf": repr(header["conf"])},
            stream="the same again",
            codec=Codec.H264,
            timestamp_us=header["timestamp"],
            start=number == 0,
            end=number == len(packets) - 1,
        )
        for number, (header, packet) in enumerate(packets)
    ]
    with Detector(url, model.removesuffix("_stream")) as detector:
        pipeline = detector.connect()
    with grpc.insecure_channel(url, Connection(url).channel_options()) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        answers = [
            read_answer(response.infer_response, pipeline, None)
            for response in stub.ModelStreamInfer(iter(requests))
        ]
    return [answer.detections.to_dict()["detections"] for answer in answers]


def canvas_rgba(page: Page) -> NDArray[np.uint8]:
    """What is on the canvas, uint8 [height, width, 4]."""
    address = page.evaluate(f"{CANVAS}.toDataURL('image/png')")
    png = np.frombuffer(base64.b64decode(address.partition(",")[2]), np.uint8)
    return cv2.cvtColor(cv2.imdecode(png, cv2.IMREAD_UNCHANGED), cv2.COLOR_BGRA2RGBA)


def drawn_wrong(canvas: NDArray[np.uint8], answer: dict[str, Any]) -> str | None:
    """What is wrong with the boxes on a canvas; None when they are those of an answer.

    Every edge of every box must be there in the colour of its track, or else of its class, and
    nothing else but labels and, of what stands still, trails that are a point.
    """
    height, width = canvas.shape[:2]
    scale = np.array([width / answer["width"], height / answer["height"]] * 2)
    unexplained = canvas[..., 3] > 0
    for detection in answer["detections"]:
        box = np.array(detection["box"]) * scale
        left, top, right, bottom = np.clip(
            np.floor(box).astype(int), 0, [width - 1, height - 1] * 2
        ).tolist()
        edges = {
            "top": canvas[top, left : right + 1],
            "bottom": canvas[bottom, left : right + 1],
            "left": canvas[top : bottom + 1, left],
            "right": canvas[top : bottom + 1, right],
        }
        for name, pixels in edges.items():
            number = detection.get("track_id", detection["class"])
            colour = COLOURS[number % len(COLOURS)]
            found = np.all(pixels == (*colour, 255), axis=-1).mean()
            if found < LEAST_OF_AN_EDGE:
                return f"{found:.0%} of the {name} edge of {detection}"
        _explain(unexplained, left, top, right, bottom)
    rows, columns = np.nonzero(unexplained)
    return f"{len(rows)} pixels, one at {columns[0]}, {rows[0]}" if len(rows) else None


def _explain(unexplained: NDArray[np.bool_], left: int, top: int, right: int, bottom: int) -> None:
    reach = EDGE_REACH
    rows = slice(max(0, top - reach), bottom + reach)
    columns = slice(max(0, left - reach), right + reach)
    for edge in (
        (slice(max(0, top - reach), top + reach), columns),
        (slice(max(0, bottom - reach), bottom + reach), columns),
        (rows, slice(max(0, left - reach), left + reach)),
        (rows, slice(max(0, right - reach), right + reach)),
    ):
        unexplained[edge] = False
    label_top = top - LABEL_HEIGHT if top >= LABEL_HEIGHT else 0
    label_left = max(0, min(left, unexplained.shape[1] - LABEL_WIDTH))
    unexplained[label_top : label_top + 2 * LABEL_HEIGHT, label_left : left + LABEL_WIDTH] &= (
        label_top + LABEL_HEIGHT < 0
    )
