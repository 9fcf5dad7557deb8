"""The synchronous client."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Generator, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import grpc
from tritonclient.grpc import service_pb2_grpc

from thin_client import conversation
from thin_client.closing import Closing
from thin_client.connection import DEFAULT_URL, Connection
from thin_client.conversation import LINGER_S, Call, Conversation
from thin_client.detections import Detections
from thin_client.errors import DetectorClosed, FramewireError
from thin_client.failures import late, pause_or_raise
from thin_client.lingering import Lingering
from thin_client.parameters import RequestParameters
from thin_client.pipeline import Pipeline
from thin_client.pipelining import map_in_order
from thin_client.retry import Budget, RetryPolicy
from thin_client.server_report import ServerReport
from thin_client.versions import Versions
from thin_client.watching import Watch
from thin_client.wire import EncodedImage

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from thin_client.streaming.link import Link
    from thin_client.streaming.looks import TrackOptions
    from thin_client.streaming.pings import Pings
    from thin_client.streaming.stream import VideoStream

__all__ = ["Detector"]

T = TypeVar("T")


class Detector(Closing):
    """A pipeline on a Triton server; give it encoded images and get boxes.

    Nothing is sent before the first call, which also reads the pipeline's config. Methods may be
    called from several threads; they share one connection.

    Args:
        url: ``host:port`` or a gRPC target of the server, or a Connection for TLS and keepalive.
        model: the pipeline's name; None takes the server's only one.
        bls: call the variant NAME_bls, which decodes and postprocesses in one Python model.
        timeout_s: deadline of one call with all its retries; None waits forever. A batch that has
            to be split shares one deadline.
        retry: how often to try again when the server cannot answer for the moment.

    Raises:
        InvalidConnection: the address or a TLS option cannot work.

    Every method that asks the server may raise: ServerUnreachable, AccessDenied, ServerOverloaded,
    ServerFailed, DeadlineExceeded, PipelineNotFound, AmbiguousPipeline, PipelineNotReady,
    ContractMismatch, RequestRefused, DetectorClosed.
    """

    def __init__(
        self,
        url: str | Connection = DEFAULT_URL,
        model: str | None = None,
        *,
        bls: bool = False,
        timeout_s: float | None = 30.0,
        retry: RetryPolicy | None = None,
    ) -> None:
        self._connection = url if isinstance(url, Connection) else Connection(url)
        self._model = model
        self._bls = bls
        self._timeout_s = timeout_s
        self._retry = retry or RetryPolicy()
        self._versions: Versions | None = None
        self._connecting = threading.Lock()
        self._closed = threading.Event()
        self._lingering = Lingering()
        self._watch: Watch | None = None
        self._watching = threading.Lock()
        self._channel = _open_channel(self._connection)
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)

    def connect(self) -> Pipeline:
        """Return what the pipeline says about itself, asking the server the first time only.

        Later it is the version that answered last: its labels and limits may be others.
        """
        return self._connect(self._budget()).latest

    def refresh(self) -> Pipeline:
        """Ask the server again what the pipeline says about itself, and return it.

        Nobody needs this for right labels: where an answer is of another version, they are read
        again by themselves.
        """
        return self._connect(self._budget(), again=True).latest

    def detect(self, image: EncodedImage, **parameters: Unpack[RequestParameters]) -> Detections:
        """Detect objects in one image.

        Args:
            image: the bytes of a JPEG, PNG, WebP or BMP file.
            **parameters: conf, iou, max_det, classes, class_agnostic; see RequestParameters.

        Raises:
            BadImage: the image cannot be read.
            InvalidRequestParameter: a parameter has a value that the server refuses.
        """
        budget = self._budget()
        versions = self._connect(budget)
        return self._run(conversation.detect(versions, image, parameters), budget)

    def detect_batch(
        self, images: Sequence[EncodedImage], **parameters: Unpack[RequestParameters]
    ) -> list[Detections]:
        """Detect objects in several images with one call.

        Args:
            images: encoded images; more than the pipeline's ``max_batch_size`` are split into
                several requests, one after the other.
            **parameters: for all of them; see RequestParameters.

        Returns:
            One result per image. An image that cannot be read has a ``status`` and an ``error``
            and no detections; its neighbours are answered all the same.

        Raises:
            InvalidRequestParameter: a parameter has a value that the server refuses.
        """
        budget = self._budget()
        versions = self._connect(budget)
        return self._run(conversation.detect_batch(versions, images, parameters), budget)

    def detect_stream(
        self,
        images: Iterable[EncodedImage],
        *,
        in_flight: int = 4,
        **parameters: Unpack[RequestParameters],
    ) -> Generator[Detections, None, None]:
        """Detect objects in images as they come, several requests at a time, results in order.

        Args:
            images: encoded images; taken one by one, never more than ``in_flight`` ahead.
            in_flight: most images taken and not yet delivered.
            **parameters: for all of them; see RequestParameters.

        Yields:
            One result per image; one that cannot be read has a ``status`` and an ``error``.
        """

        def detect_one(image: EncodedImage) -> Detections:
            return self.detect_batch([image], **parameters)[0]

        # closing: breaking off the loop over the results also stops taking images.
        with contextlib.closing(map_in_order(detect_one, images, in_flight)) as futures:
            for _, future in futures:
                yield future.result()

    def video_stream(
        self,
        source: str,
        *,
        codec: str = "auto",
        quality: int | None = None,
        max_side: int | None = None,
        fps: float | None = None,
        every_frame: bool = False,
        in_flight: int = 16,
        pictures: bool = False,
        give_up_s: float = 300.0,
        detect_fps: float | str | None = None,
        tracking: TrackOptions | None = None,
        link: Link | None = None,
        pings: Pings | None = None,
        rtsp_transport: str = "auto",
        say: Callable[[str], None] | None = None,
        **parameters: Unpack[RequestParameters],
    ) -> VideoStream:
        """Stream a video through the pipeline at a rate that the link carries.

        The link is measured first. Packets of H.264 and H.265 pass as they are where the link has
        room for them; else frames are encoded. Needs PyAV (the extra ``stream``).

        Args:
            source: a file, a URL such as ``rtsp://...``, or a camera, ``/dev/video0`` or ``0``.
            codec: ``h264``, ``h265`` or ``jpeg``; ``auto`` leaves it to the link.
            quality: of JPEGs, 1 to 100; None leaves it to the link.
            max_side: longest side that is sent, pixels.
            fps: most frames per second; those over it are left out evenly.
            every_frame: nothing is dropped, however long it takes; of files only. What is lost all
                the same, because it is damaged, stands in the statistics.
            in_flight: most frames unanswered at a time.
            pictures: give each result its picture.
            give_up_s: how long the server may be away before the stream ends with an error.
            detect_fps: how many frames a second the network looks at; the tracker answers for the
                others. ``auto``: as many as it has room for; ``all``: every frame; None: ``auto``
                of a live source where the pipeline can, else ``all``.
            tracking: how the tracker is set, see TrackOptions.
            link: as it was measured before; None has it measured now.
            pings: shared with other streams over this link; None: its own.
            rtsp_transport: ``tcp`` or ``udp``; ``auto``: UDP where a camera has no TCP.
            say: called with a sentence when the stream begins, changes or is interrupted.
            **parameters: for all frames; see RequestParameters.

        Returns:
            An open stream to iterate over, and to close.

        Raises:
            SourceUnreadable: the source cannot be opened.
            PyAVMissing: there is no PyAV.
            PipelineNotFound: video was asked for and the pipeline takes only pictures; looks a
                second or a tracker's setting, and it has none.
            InvalidRequestParameter: one of these has no usable value.
        """
        # Streaming is a fifth of this package, and most programs send pictures.
        from thin_client.streaming import opening, stream, target  # noqa: PLC0415
        from thin_client.streaming.looks import looks_from  # noqa: PLC0415
        from thin_client.streaming.wishes import wishes_from  # noqa: PLC0415

        looks = looks_from(detect_fps, **(tracking or {}))
        budget = self._budget()
        # Asked again: classes that a stream asks for are looked up when it begins.
        pipeline = self._connect(budget, again=True).latest
        video = self._run(opening.find_streams(pipeline), budget)
        input_side = max(pipeline.input_width, pipeline.input_height)
        wishes = wishes_from(
            codec,
            quality=quality,
            max_side=max_side,
            fps=fps,
            streams=video is not None,
            turns=video is not None and video.turns,
            input_side=input_side,
        )
        opening.refuse_without_streams(video, wishes, pipeline)
        looks.refuse_without(None if wishes.stateless else video, pipeline)
        images = target.make_target(
            self._channel, self._stub, self._connection, pipeline, parameters, streams=False
        )
        return stream.VideoStream(
            images,
            None if video is None else target.beside(images, video),
            source,
            wishes,
            every_frame=every_frame,
            most_in_flight=in_flight,
            pictures=pictures,
            give_up_s=give_up_s,
            looks=looks,
            link=link,
            pings=pings,
            rtsp_transport=rtsp_transport,
            say=say,
        )

    def stream_link(self) -> tuple[Link, Pings]:
        """Return what several streams over this connection share: the link, measured, and pings.

        To be given to each ``video_stream``; the pings are to be closed after them.
        """
        from thin_client.streaming import pings, target  # noqa: PLC0415

        pipeline = self._connect(self._budget()).latest
        images = target.make_target(
            self._channel, self._stub, self._connection, pipeline, {}, streams=False
        )
        link = target.measured(images)
        return link, pings.Pings(self._stub, self._connection.metadata)

    def report(self) -> ServerReport:
        """Return the server's version, the pipeline's config and the statistics of its models."""
        budget = self._budget()
        versions = self._connect(budget)
        return self._run(conversation.report(versions), budget)

    def close(self) -> None:
        """Close the connection; requests still in flight in other threads fail.

        Where a request of less than five seconds was given up just now it takes up to a second: the
        server is about to end it, and to hang up meanwhile may crash a Triton before 25.06.
        """
        self._closed.set()
        self._lingering.wait(LINGER_S)
        with self._watching:
            if self._watch is not None:
                self._watch.close()
        self._channel.close()

    def _budget(self) -> Budget:
        return Budget(self._retry, self._timeout_s, interrupted=self._doubt)

    def _doubt(self) -> None:
        if self._versions is not None:
            self._versions.doubt()

    def _begin_watch(self) -> None:
        # Before the server is asked: it may be exchanged as soon as it has answered.
        with self._watching:
            if self._watch is None and not self._closed.is_set():
                self._watch = Watch(self._channel, self._doubt)

    def _connect(self, budget: Budget, *, again: bool = False) -> Versions:
        if self._versions is not None and not again:
            return self._versions
        with self._connecting:
            if self._versions is None or again:
                self._begin_watch()
                url = self._connection.url
                talk = conversation.connect(url, self._model, self._bls)
                self._versions = Versions(self._run(talk, budget))
            return self._versions

    def _run(self, talk: Conversation[T], budget: Budget) -> T:
        try:
            call = next(talk)
            while True:
                try:
                    response = self._send(call, budget)
                except FramewireError as error:
                    call = talk.throw(error)
                else:
                    call = talk.send(response)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]

    def _send(self, call: Call, budget: Budget) -> Any:
        while True:
            if self._closed.is_set():
                raise DetectorClosed("the detector is closed; make a new one")
            timeout_s = budget.remaining_s()
            try:
                response = self._answer(call, timeout_s)
            except grpc.FutureTimeoutError:
                raise late(self._connection.url, budget.timeout_s) from None
            except ValueError as error:
                # What gRPC raises for a call on a closed channel.
                raise DetectorClosed("the detector was closed meanwhile") from error
            except grpc.RpcError as error:
                if self._closed.is_set():
                    raise DetectorClosed("the detector was closed meanwhile") from error
                pause_s = pause_or_raise(error, call.request, self._connection.url, budget)
            else:
                budget.succeeded()
                return response
            self._closed.wait(pause_s)

    def _answer(self, call: Call, timeout_s: float | None) -> Any:
        method, metadata = getattr(self._stub, call.method), self._connection.metadata
        request = call.request_within(timeout_s)
        if timeout_s is None or not call.lingers(timeout_s):
            return method(request, timeout=timeout_s, metadata=metadata)
        pending = method.future(request, timeout=timeout_s + LINGER_S, metadata=metadata)
        try:
            return pending.result(timeout=timeout_s)
        except grpc.FutureTimeoutError:
            self._lingering.add(pending)
            raise


def _open_channel(connection: Connection) -> Any:
    credentials = connection.credentials()
    options = connection.channel_options()
    if credentials is None:
        return grpc.insecure_channel(connection.target, options)
    return grpc.secure_channel(connection.target, credentials, options)
