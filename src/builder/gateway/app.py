"""The gateway's addresses: frames, one image, the page, and what operators ask."""

from __future__ import annotations

from http import HTTPStatus
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp
from starlette.websockets import WebSocket

from builder.gateway import answers
from builder.gateway.admission import SUBPROTOCOL, refusal
from builder.gateway.clients import Client, TooManyConnections
from builder.gateway.cross_origin import CrossOrigin
from builder.gateway.frames import (
    CODECS,
    Frame,
    ProtocolMisuse,
    parameters_from_query,
    stream_from_query,
)
from builder.gateway.gateway import Gateway
from builder.gateway.metrics import CONTENT_TYPE
from builder.gateway.page_headers import PageHeaders
from builder.gateway.posts import BodyTooLarge, read_body, while_connected
from builder.gateway.session import CLOSE_SERVICE_RESTART, Answering, Session
from thin_client.errors import ContractMismatch, FramewireError, InvalidRequestParameter
from thin_client.pipeline import Pipeline

PAGE = Path(__file__).parent / "page"
CLOSE_TRY_AGAIN_LATER = 1013
TOO_MANY = (
    HTTPStatus.TOO_MANY_REQUESTS,
    "client",
    "this address has all the requests under way that it may have",
)
TOO_FAST = (HTTPStatus.TOO_MANY_REQUESTS, "client", "this address sends too fast; send fewer")


def make_app(gateway: Gateway) -> ASGIApp:
    """Return the ASGI application of a gateway."""
    endpoints = _Endpoints(gateway)
    app = Starlette(
        routes=[
            WebSocketRoute("/frames", endpoints.frames),
            Route("/detect", endpoints.detect, methods=["POST"]),
            Route("/pipeline", endpoints.pipeline),
            Route("/healthz", endpoints.healthz),
            Route("/readyz", endpoints.readyz),
            Route("/metrics", endpoints.metrics),
            Mount("/", StaticFiles(directory=PAGE, html=True)),
        ]
    )
    return PageHeaders(CrossOrigin(app, gateway))


class _Endpoints:
    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def frames(self, websocket: WebSocket) -> None:
        gateway = self._gateway
        offered = websocket.scope.get("subprotocols", [])
        refused = refusal(gateway.settings, websocket, offered)
        if refused is not None:
            await websocket.send_denial_response(self._turned_away(*refused))
            return
        await websocket.accept(SUBPROTOCOL if SUBPROTOCOL in offered else None)
        # Closed after it was accepted, because pages see code and reason of nothing else.
        if gateway.stopping.is_set():
            await websocket.close(CLOSE_SERVICE_RESTART, "the gateway stops; connect again shortly")
            return
        if gateway.full:
            gateway.metrics.refused["connections"] += 1
            await websocket.close(
                CLOSE_TRY_AGAIN_LATER, "the gateway has all the connections it may have"
            )
            return
        try:
            with gateway.clients.entering(_address(websocket)) as client:
                await self._serve(websocket, client)
        except TooManyConnections:
            gateway.metrics.refused["client"] += 1
            await websocket.close(
                CLOSE_TRY_AGAIN_LATER, "this address has all the connections it may have"
            )

    async def _serve(self, websocket: WebSocket, client: Client) -> None:
        gateway = self._gateway
        try:
            stream = stream_from_query(websocket.query_params)
        except ProtocolMisuse as misuse:
            await websocket.close(misuse.code, str(misuse))
            return
        if stream is None:
            await self._keep(websocket, client, gateway.answer_image)
        else:
            async with gateway.packets(stream) as answer:
                await self._keep(websocket, client, answer)

    async def _keep(self, websocket: WebSocket, client: Client, answer: Answering) -> None:
        gateway = self._gateway
        await gateway.keep(
            Session(
                websocket,
                answer,
                gateway.settings.limits,
                gateway.metrics,
                gateway.stopping,
                shared=client.pace,
            )
        )

    async def detect(self, request: Request) -> Response:
        gateway = self._gateway
        refused = refusal(gateway.settings, request)
        if refused is not None:
            return self._turned_away(*refused)
        if gateway.stopping.is_set() or gateway.posts >= gateway.settings.limits.connections:
            return self._turned_away(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "connections",
                "the gateway stops" if gateway.stopping.is_set() else "the gateway is busy",
            )
        try:
            with gateway.clients.entering(_address(request)) as client, gateway.post():
                if not client.pace.take():
                    return self._turned_away(*TOO_FAST)
                return await self._detected(request)
        except TooManyConnections:
            return self._turned_away(*TOO_MANY)

    async def _detected(self, request: Request) -> Response:
        gateway = self._gateway
        try:
            parameters = parameters_from_query(request.query_params)
            image = await read_body(request, gateway.settings.limits)
            status, answer = await while_connected(
                request, gateway.answer_post(Frame(0, image, parameters))
            )
        except InvalidRequestParameter as error:
            return _error(HTTPStatus.BAD_REQUEST, answers.failed(error))
        except BodyTooLarge as error:
            gateway.metrics.refused["size"] += 1
            return _error(error.status, {"status": error.word, "error": str(error)})
        except ClientDisconnect:
            return Response(status_code=HTTPStatus.BAD_REQUEST)
        return JSONResponse(answer, status) if status is HTTPStatus.OK else _error(status, answer)

    async def pipeline(self, request: Request) -> Response:
        """What a client needs to know before it sends: class names, defaults, limits."""
        gateway = self._gateway
        refused = refusal(gateway.settings, request)
        if refused is not None:
            return self._turned_away(*refused)
        try:
            pipeline = await gateway.upstream.pipeline_now()
            video = await _video(gateway, pipeline)
        except FramewireError as error:
            gateway.upstream.observe(error)
            return _error(answers.meaning(error)[1], answers.failed(error))
        limits = gateway.settings.limits
        described: dict[str, Any] = {
            "pipeline": pipeline.model,
            "labels": pipeline.labels,
            "conf": pipeline.conf,
            "iou": pipeline.iou,
            "max_det": pipeline.max_det,
            "input_width": pipeline.input_width,
            "input_height": pipeline.input_height,
            "in_flight": limits.in_flight,
            "max_message_bytes": limits.message_bytes,
            "max_frames_per_second": limits.frames_per_s,
            "codecs": CODECS if video is not None else (),
            "detect_fps": video is not None and video.looks,
            "tracks": video is not None and video.tracks,
        }
        return JSONResponse(described)

    async def healthz(self, _: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(self, _: Request) -> Response:
        gateway = self._gateway
        if gateway.stopping.is_set():
            return PlainTextResponse("the gateway stops\n", HTTPStatus.SERVICE_UNAVAILABLE)
        try:
            await gateway.upstream.check_ready()
        except FramewireError as error:
            sentence = answers.meaning(error)[2]
            return PlainTextResponse(f"{sentence}\n", HTTPStatus.SERVICE_UNAVAILABLE)
        return PlainTextResponse("ready\n")

    async def metrics(self, request: Request) -> Response:
        refused = refusal(self._gateway.settings, request)
        if refused is not None:
            return self._turned_away(*refused)
        return PlainTextResponse(self._gateway.metrics.text(), media_type=CONTENT_TYPE)

    def _turned_away(self, status: HTTPStatus, reason: str, sentence: str) -> Response:
        self._gateway.metrics.refused[reason] += 1
        return _error(status, {"status": reason, "error": sentence})


def _address(connection: HTTPConnection) -> str:
    return connection.client.host if connection.client else ""


def _error(status: HTTPStatus, answer: dict[str, Any]) -> Response:
    headers = {}
    if status in (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS):
        headers["Retry-After"] = "1"
    if status is HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse(answer, status, headers)


async def _video(gateway: Gateway, pipeline: Pipeline) -> Pipeline | None:
    try:
        versions = await gateway.upstream.video.find(pipeline)
    except ContractMismatch:
        # Pictures are taken all the same; whoever sends video is told why not.
        return None
    return None if versions is None else versions.latest
