"""The REST API over HTTP.

It is uvicorn on httptools (the parser of Node.js). Of the servers compared (aiohttp, waitress,
cheroot; a request that does nothing) it was the fastest by half. It takes 45 ms and 4 MB to import,
a quarter of what aiohttp takes, and a client that is slow or silent costs it a connection, not a
thread. It reads bodies with back pressure, answers pipelined requests in order, and lets requests
under way finish when it stops.

Requests are read and responses are written in one thread, with an event loop of its own. The work
in between, including JSON, is done by a pool of threads; TensorFlow's part runs beside the event
loop, because it does not hold the interpreter's lock. Status, metadata and metrics have a thread of
their own, so that a probe is answered however many predictions wait.
"""

import asyncio
import errno
import logging
import socket
import ssl
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from keras_attention_serving import errors
from keras_attention_serving.concurrency.cancellation import Cancellation
from keras_attention_serving.concurrency.processors import processors
from keras_attention_serving.monitoring.metrics import NO_METRICS, Metrics
from keras_attention_serving.monitoring.request_log import RequestLog
from keras_attention_serving.rest import json_encode
from keras_attention_serving.rest.api import RestApi
from keras_attention_serving.rest.compressed_bodies import MAX_VALUES
from keras_attention_serving.rest.http_messages import HttpRequest, HttpResponse
from keras_attention_serving.rest.http_parser import HttpParser
from keras_attention_serving.service import Service

logger = logging.getLogger(__name__)

MAX_BODY_BYTES = 2**31 - 1  # as much as a gRPC message
MAX_HEADER_BYTES = 1 << 20
# The longest silence of a client: before its first request, between two, within one. libevent's.
SILENCE_SECONDS = 50.0
BACKLOG = 2048
# Connections that are accepted in one turn of the event loop. asyncio also tries so many times when
# there are no file descriptors left.
ACCEPTS = 64
COMPLAINT_SECONDS = 60.0
_OUT_OF_RESOURCES = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class RestServer:
    """Serves the REST API from `start` to `stop`.

    Args:
        service: the methods.
        port: TCP port; 0 picks a free one.
        host: address to listen on; `"::"` means all, over IPv4 as well.
        num_threads: number of predictions at a time; 4 per processor by default.
        timeout_seconds: the longest time that a prediction may take; None for no limit.
        cors: allow pages of other sites to send requests.
        metrics_path: path of the page of the metrics; None for no page.
        metrics: is told of every prediction, and makes that page.
        log: is told of every response; by default, failures are logged.
        max_unzipped_values: see `RestApi`.
        health: see `RestApi`.
        tls: the server's key and certificate, for HTTPS; no encryption by default.

    Attributes:
        port: the TCP port.
        address: host and port, as a URL has them.

    Raises:
        errors.StartError (an OSError): the port is taken.
    """

    def __init__(
        self,
        service: Service,
        *,
        port: int = 8501,
        host: str = "::",
        num_threads: int | None = None,
        timeout_seconds: float | None = 30.0,
        cors: bool = False,
        metrics_path: str | None = None,
        metrics: Metrics = NO_METRICS,
        log: RequestLog | None = None,
        tls: ssl.SSLContext | None = None,
        max_unzipped_values: int = MAX_VALUES,
        health: bool = False,
    ) -> None:
        self._api = RestApi(
            service,
            cors=cors,
            metrics=metrics,
            log=log,
            metrics_path=metrics_path,
            max_unzipped_values=max_unzipped_values,
            health=health,
        )
        self._timeout = timeout_seconds
        self._threads = num_threads or 4 * processors()
        self._socket = _listen(host, port)
        self.port: int = self._socket.getsockname()[1]
        shown = "localhost" if host in ("::", "0.0.0.0", "") else host
        self.address = f"[{shown}]:{self.port}" if ":" in shown else f"{shown}:{self.port}"
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="rest")
        self._probes = ThreadPoolExecutor(1, thread_name_prefix="rest-probes")
        self._server = _Server(
            _Config(
                tls,
                self._serve,
                http=_Protocol,
                interface="asgi3",
                loop="asyncio",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                backlog=ACCEPTS,
                timeout_keep_alive=int(SILENCE_SECONDS),
            )
        )
        self._thread = threading.Thread(target=self._run, name="rest-server", daemon=True)

    def start(self) -> None:
        """Begins to accept requests; returns when it does."""
        self._thread.start()
        self._server.ready.wait()

    def stop(self, grace: float = 30.0) -> None:
        """Accepts no more requests; lets those under way finish for `grace` seconds.

        A second call does nothing.
        """
        if self._thread.is_alive():
            self._server.config.timeout_graceful_shutdown = max(1, round(grace))
            self._server.should_exit = True
            self._thread.join()
        self._socket.close()
        for pool in (self._pool, self._probes):
            pool.shutdown(wait=False, cancel_futures=True)

    def _run(self) -> None:
        try:
            self._server.run(sockets=[self._socket])
        except Exception:
            logger.exception("The REST server has failed.")
        finally:
            self._server.ready.set()

    async def _serve(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        headers = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        target = scope["raw_path"].decode("latin-1")
        if scope["query_string"]:
            target += "?" + scope["query_string"].decode("latin-1")
        request = HttpRequest(scope["method"], target, headers=headers)

        async def refuse(status: int, error: errors.ServingError) -> None:
            self._api.note(request, error)
            body = json_encode.error(error.message)
            await _send(send, HttpResponse(status, body, headers={"connection": "close"}))

        if int(headers.get("content-length", 0)) > MAX_BODY_BYTES:
            await refuse(413, _too_large())
            return
        try:
            body = await _body(receive)
        except TimeoutError:
            await refuse(408, _silent())
            return
        if body is None:
            return
        if len(body) > MAX_BODY_BYTES:
            await refuse(413, _too_large())
            return
        cancellation = Cancellation()
        connection = scope["state"]["connection"]
        connection.cancellation = cancellation
        # The time that the body took to arrive does not count.
        request = HttpRequest(
            request.method,
            target,
            body,
            headers,
            timeout=self._timeout,
            cancellation=cancellation,
        )
        pool = self._pool if request.method == "POST" else self._probes
        response = await asyncio.get_running_loop().run_in_executor(pool, self._api.handle, request)
        connection.cancellation = None
        await _send(send, response)


class _Config(uvicorn.Config):
    """Settings of uvicorn with a ready-made TLS context; its older versions only take files."""

    def __init__(self, tls: ssl.SSLContext | None, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._tls = tls

    def load(self) -> None:
        super().load()
        self.ssl = self._tls


class _Server(uvicorn.Server):
    """Server of uvicorn that sets `ready`, and leaves signals to the process."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        asyncio.get_running_loop().set_exception_handler(complain_once())
        await super().startup(sockets)
        for listening in sockets or ():
            listening.listen(BACKLOG)  # asyncio has set it to `ACCEPTS`
        self.ready.set()


def complain_once() -> Callable[[asyncio.AbstractEventLoop, dict[str, Any]], None]:
    """A handler of a loop's errors that logs a lack of file descriptors at most once a minute."""
    last = -COMPLAINT_SECONDS

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        nonlocal last
        error = context.get("exception")
        if not (isinstance(error, OSError) and error.errno in _OUT_OF_RESOURCES):
            loop.default_exception_handler(context)
            return
        now = time.monotonic()
        if now - last >= COMPLAINT_SECONDS:
            last = now
            logger.error("Connections cannot be accepted: %s", error.strerror)

    return handle


class _Protocol(HttpToolsProtocol):
    """One connection.

    It adds to uvicorn's protocol: bounds on the time and the bytes that the headers of a request
    may take, and the cancellation of the work under way when the client leaves.
    """

    cancellation: Cancellation | None = None
    _deadline: asyncio.TimerHandle | None = None
    _header_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.parser = HttpParser(self)
        # asyncio sets it for sockets that it made itself. Without it, a body waits 40 ms for the
        # client to acknowledge the headers.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._expect_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        self._clear_deadline()
        if self.cancellation is not None:
            self.cancellation.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._deadline is not None:
            self._header_bytes += len(data)
            if self._header_bytes > MAX_HEADER_BYTES + len(data):
                self.transport.close()
                return
        super().data_received(data)

    def on_message_begin(self) -> None:
        self._expect_headers()
        super().on_message_begin()
        self.scope["state"]["connection"] = self

    def on_headers_complete(self) -> None:
        self._clear_deadline()
        if not self.parser.should_upgrade():  # otherwise this is called once more
            super().on_headers_complete()

    def on_message_complete(self) -> None:
        if not self.parser.should_upgrade():
            super().on_message_complete()

    def _expect_headers(self) -> None:
        if self._deadline is None:
            self._header_bytes = 0
            self._deadline = self.loop.call_later(SILENCE_SECONDS, self._close_silent)

    def _clear_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _close_silent(self) -> None:
        self._deadline = None
        if not self.transport.is_closing():
            self.transport.close()


def _listen(host: str, port: int) -> socket.socket:
    everywhere = host == "::"
    ipv6 = ":" in host and socket.has_ipv6
    try:
        if everywhere and not socket.has_dualstack_ipv6():
            return socket.create_server(("", port), backlog=BACKLOG)
        return socket.create_server(
            (host, port),
            family=socket.AF_INET6 if ipv6 else socket.AF_INET,
            backlog=BACKLOG,
            dualstack_ipv6=everywhere,
        )
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise errors.StartError(
            "Expected an address that is free to listen on. "
            f"Received: address={host}:{port} ({reason})"
        ) from None


async def _body(receive: Receive) -> bytes | None:
    """Reads the body of a request; returns None if the client leaves.

    Stops a little after `MAX_BODY_BYTES`. Raises `TimeoutError` if the client falls silent.
    """
    chunks, size = [], 0
    while True:
        async with asyncio.timeout(SILENCE_SECONDS):
            message = await receive()
        if message["type"] == "http.disconnect":
            return None
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if not message.get("more_body") or size > MAX_BODY_BYTES:
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _too_large() -> errors.ResourceExhausted:
    return errors.ResourceExhausted(f"The body of a request may have {MAX_BODY_BYTES} bytes.")


def _silent() -> errors.DeadlineExceeded:
    return errors.DeadlineExceeded(f"Waited {SILENCE_SECONDS:g} s for the body of the request.")


async def _send(send: Send, response: HttpResponse) -> None:
    headers = {
        "content-type": response.content_type,
        "content-length": str(len(response.body)),
        **response.headers,
    }
    encoded = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": response.status, "headers": encoded})
    await send({"type": "http.response.body", "body": response.body})
