"""Connections that don't last for ever: those that send nothing, or only part of a request, are closed."""

from __future__ import annotations

import asyncio
from typing import Any

REQUEST_TIMEOUT = 30.0
"""Seconds after which a connection without a whole request is closed."""
MAX_CONNECTIONS = 500
"""Connections that are served at once; others are refused with the status 503."""
MAX_MESSAGE = 4_000_000
"""Bytes of the largest message over a web socket: a frame, or ten seconds of audio."""


def patient_protocol() -> type[asyncio.Protocol]:
    """The class that makes uvicorn close a connection that has no request after REQUEST_TIMEOUT."""
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class PatientProtocol(H11Protocol):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._wait()

        def _wait(self) -> None:
            self.loop.call_later(REQUEST_TIMEOUT, self._look, self.cycle)

        def _look(self, before: object) -> None:
            """Close the connection if it still has no request, or only one that was answered long ago."""
            if self.transport.is_closing() or self.transport.get_protocol() is not self:  # now a web socket
                return
            if self.cycle is before and (self.cycle is None or self.cycle.response_complete):
                self.transport.close()
            else:
                self._wait()

    return PatientProtocol
