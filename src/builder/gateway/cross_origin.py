"""What pages of an ``--origin`` need of answers over HTTP: headers, and a question before them.

A browser gives an answer to a page of another origin only where a header of it names that origin,
and asks first, with OPTIONS and without the page's token, where a request has a header or a type of
content that no form could send: https://fetch.spec.whatwg.org/#http-cors-protocol. No cookies are
involved, so credentials are not allowed.
"""

from __future__ import annotations

from http import HTTPStatus

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from builder.gateway.admission import strange_page
from builder.gateway.gateway import Gateway

# The addresses that pages call, and how.
METHODS = {"/detect": "POST", "/pipeline": "GET, HEAD"}
# That a page may send: its token, and what its image is.
REQUEST_HEADERS = "Authorization, Content-Type"
# That a page may read beside the few that all may.
RESPONSE_HEADERS = "Retry-After"
# How long a browser need not ask again, seconds.
REMEMBERED_S = 600


class CrossOrigin:
    """Answers questions before requests, and adds to the answers of requests what pages need.

    Args:
        app: that answers the requests.
        gateway: whose settings name the origins.
    """

    def __init__(self, app: ASGIApp, gateway: Gateway) -> None:
        self._app = app
        self._gateway = gateway

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http" or scope["path"] not in METHODS:
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        origin = request.headers.get("origin")

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                # Whatever the answer is, another origin may get another.
                headers.add_vary_header("Origin")
                if origin in self._gateway.settings.origins:
                    headers["Access-Control-Allow-Origin"] = origin
                    headers["Access-Control-Expose-Headers"] = RESPONSE_HEADERS
            await send(message)

        app = self._asked(request) if request.method == "OPTIONS" else self._app
        await app(scope, receive, send_with_headers)

    def _asked(self, request: Request) -> Response:
        """Return the answer to a question; it holds no secret, so it needs no token."""
        methods = METHODS[request.scope["path"]]
        headers = {"Allow": f"{methods}, OPTIONS"}
        if "access-control-request-method" not in request.headers:
            return Response(status_code=HTTPStatus.NO_CONTENT, headers=headers)
        if strange_page(self._gateway.settings, request) is not None:
            # The browser tells the page nothing of it but that it is not allowed.
            self._gateway.metrics.refused["origin"] += 1
            return Response(status_code=HTTPStatus.FORBIDDEN, headers=headers)
        headers |= {
            "Access-Control-Allow-Methods": methods,
            "Access-Control-Allow-Headers": REQUEST_HEADERS,
            "Access-Control-Max-Age": str(REMEMBERED_S),
            "Vary": "Access-Control-Request-Method, Access-Control-Request-Headers",
        }
        return Response(status_code=HTTPStatus.NO_CONTENT, headers=headers)
