"""Bounds on calls: some clients get responses however many calls others have open."""

import asyncio
import contextlib
import socket
import threading

import grpc
import grpc.aio
import pytest

from keras_attention_serving.grpc.bounds import Bounds

METHOD = "/test.Service/Method"
SECONDS = 30.0


class Echo:
    """A gRPC server of one method, in a loop of its own; requests of `wait` stay until `go`."""

    def __init__(self, max_calls, body_seconds=SECONDS):
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        self.begun = threading.Semaphore(0)
        self.port = self.do(self.start(max_calls, body_seconds))

    def do(self, work):
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(SECONDS)

    async def start(self, max_calls, body_seconds):
        self.go = asyncio.Event()
        bounds = Bounds(max_calls, body_seconds)
        self.server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])

        async def answer(data, context):
            self.begun.release()
            if data == b"wait":
                await self.go.wait()
            return data

        handlers = {"Method": bounds.unary(answer, "Method")}
        generic = grpc.method_handlers_generic_handler("test.Service", handlers)
        self.server.add_generic_rpc_handlers((generic,))
        port = self.server.add_insecure_port("127.0.0.1:0")
        await self.server.start()
        return port

    async def stop(self):
        self.go.set()
        await self.server.stop(SECONDS)

    def close(self):
        self.do(self.stop())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


@contextlib.contextmanager
def serve(*arguments):
    with contextlib.closing(Echo(*arguments)) as server:
        yield server


@contextlib.contextmanager
def connect(server):
    options = [("grpc.use_local_subchannel_pool", 1)]
    with grpc.insecure_channel(f"127.0.0.1:{server.port}", options) as channel:
        yield channel


def frame(kind, flags, stream, payload=b""):
    return len(payload).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + payload


def open_streams(stack, server, count):
    """Calls of one connection whose requests do not come."""
    connection = socket.create_connection(("127.0.0.1", server.port), SECONDS)
    stack.enter_context(connection)
    path = METHOD.encode()
    headers = b"\x83\x86\x04" + bytes([len(path)]) + path  # POST, http
    headers += b"\x01\x09localhost" + b"\x0f\x10\x10application/grpc" + b"\x00\x02te\x08trailers"
    data = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0) + frame(4, 1, 0)
    connection.sendall(data + b"".join(frame(1, 4, 1 + 2 * i, headers) for i in range(count)))
    ping = frame(6, 0, 0, b"8 bytes.")
    connection.sendall(ping)
    with connection.makefile("rb") as file:  # until the ping is answered: all have been read
        while True:
            size, kind, flags = int.from_bytes(file.read(3)), file.read(1)[0], file.read(1)[0]
            file.read(4 + size)
            if (kind, flags) == (6, 1):
                return


def test_requests_that_do_not_come_leave_places_to_others():
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(serve(13))
        for _ in range(5):
            open_streams(stack, server, 7)
        channel = stack.enter_context(connect(server))
        for _ in range(3):
            assert channel.unary_unary(METHOD)(b"x", timeout=SECONDS) == b"x"


def test_calls_under_way_leave_places_to_others_and_one_to_each_connection(caplog):
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(serve(3))
        waiting = []
        for i in range(5):
            method = stack.enter_context(connect(server)).unary_unary(METHOD)
            waiting.append(method.future(b"wait", timeout=SECONDS))
            server.begun.acquire(timeout=SECONDS)
            waiting.append(method.future(b"wait", timeout=SECONDS))
            if not i:  # the first one finds places free; the others are refused
                server.begun.acquire(timeout=SECONDS)
            else:
                waiting[-1].code()
        channel = stack.enter_context(connect(server))
        assert channel.unary_unary(METHOD)(b"x", timeout=SECONDS) == b"x"
        server.loop.call_soon_threadsafe(server.go.set)
        codes = [call.code().name for call in waiting]
    assert codes[0::2] == ["OK"] * 5
    assert codes[1::2] == ["OK"] + ["RESOURCE_EXHAUSTED"] * 4
    requests = [r for r in caplog.records if r.name == "keras_attention_serving.requests"]
    assert [record.getMessage().partition(" after")[0] for record in requests] == [
        "GRPC Method: RESOURCE_EXHAUSTED"
    ] * 4


def test_a_request_that_does_not_come_in_time():
    with serve(3, 0.1) as server, connect(server) as channel:
        never = threading.Event()
        requests = (never.wait(SECONDS) for _ in range(1))
        with pytest.raises(grpc.RpcError) as caught:
            channel.stream_unary(METHOD)(requests, timeout=SECONDS)
        never.set()
        answer = channel.unary_unary(METHOD)(b"x", timeout=SECONDS)
    assert caught.value.code().name == "DEADLINE_EXCEEDED"
    assert caught.value.details() == "The request did not come within 0.1 s."
    assert answer == b"x"


def test_no_request():
    with serve(3) as server, connect(server) as channel:
        with pytest.raises(grpc.RpcError) as caught:
            channel.stream_unary(METHOD)(iter(()), timeout=SECONDS)
    assert (caught.value.code().name, caught.value.details()) == ("INTERNAL", "Expected a request.")
