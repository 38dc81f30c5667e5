"""Which requests reach the server's addresses: those of this machine, and from the network only those of invited raters."""

from __future__ import annotations

import re
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

LOOPBACK = "127.0.0.1"
"""The address of this machine that other machines can't reach."""
RATING = "/rate/"
"""How the paths of invited raters begin."""
MAX_RATING = 1_000_000
"""Bytes of the largest request of a rater: a second of a trace has about 1,000."""


@dataclass(frozen=True)
class Network:
    """Where the machine can be reached from its network.

    Attributes:
        name: as the user gave it, a host name or an address.
        address: its IPv4 address.
    """

    name: str
    address: str


class Gate:
    """Refuses what comes under foreign names, from pages of other sites, or from the network to anything but ratings.

    A page of another site could reach this server under its own host name, but not under the server's.

    Args:
        app: what gets the other requests.
        network: where the network reaches this machine; None if it doesn't.
    """

    def __init__(self, app: ASGIApp, network: Network | None = None) -> None:
        self._app = app
        self._names = {"127.0.0.1", "localhost"}
        self._network_names = set() if network is None else {network.name.lower(), network.address}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] in {"http", "websocket"}:
            status, problem = self._judged(scope)
            if problem and scope["type"] == "http":
                await JSONResponse({"detail": problem}, status)(scope, receive, send)
                return
            if problem:
                await receive()
                await send({"type": "websocket.close", "code": 1008})  # before it is accepted: HTTP 403
                return
        await self._app(scope, receive, send)

    def _judged(self, scope: Scope) -> tuple[int, str]:
        """The status and the reason with which a request is refused; 200 and "" if it isn't."""
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        reached = (scope.get("server") or ("",))[0]  # the address at which the connection arrived, which no client can choose
        names = self._names if reached == LOOPBACK else self._network_names
        if re.sub(r":[0-9]*$", "", host).lower() not in names:
            return 400, "this server has another name"
        if headers.get("origin") not in {None, f"http://{host}"}:
            return 403, "a page of another site may not do this"
        rating = scope["path"].startswith(RATING)
        if reached != LOOPBACK and not (rating and scope["type"] == "http"):
            return 404, "not found"
        if rating and scope["method"] not in {"GET", "HEAD"}:
            length = headers.get("content-length", "")
            if not length.isdecimal() or int(length) > MAX_RATING:
                return 413, "this part of a trace is too large"
        return 200, ""
