"""Requests that hurt a server, and the models that they are for: the table of `serving_hostile.py`.

Each attack goes on until the time it is given, against a server on this machine alone.
"""

import contextlib
import gzip
import http.client
import resource
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import grpc
import numpy as np

from keras_attention_serving.client import messages
from keras_attention_serving.protocol import wire

SERVE = wire.DEFAULT_SIGNATURE
_ANY_SIZE = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


@dataclass(frozen=True)
class Target:
    """A server: its ports, its process, and the folder of its models."""

    port: int
    rest_port: int
    pid: int
    models: Path

    @contextlib.contextmanager
    def channel(self):
        options = [("grpc.use_local_subchannel_pool", 1), *_ANY_SIZE]
        with grpc.insecure_channel(f"127.0.0.1:{self.port}", options) as channel:
            yield channel

    def post(self, model: str, body: bytes, **headers: str) -> None:
        """Asks over REST; whatever comes is right."""
        connection = http.client.HTTPConnection("127.0.0.1", self.rest_port, timeout=60)
        with (
            contextlib.closing(connection),
            contextlib.suppress(OSError, http.client.HTTPException),
        ):
            connection.request("POST", f"/v1/models/{model}:predict", body, headers)
            connection.getresponse().read()


def export(folder: Path) -> None:
    """The models, made with TensorFlow alone."""
    import tensorflow as tf

    floats, whole = tf.float32, tf.int32
    weights = tf.round(4 * tf.random.stateless_normal((16, 4), (2, 3)))

    class Model(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, 16], floats, name="x")])
        def tiny(self, x):
            return {"y": x @ weights}

        @tf.function(input_signature=[tf.TensorSpec([], whole, name="n")])
        def wide(self, n):
            return {"y": tf.fill([1, n], 0.1)}

        @tf.function(input_signature=[tf.TensorSpec([None], floats, name="x")])
        def cubic(self, x):
            square = x[:, None] * x[None]
            return {"y": tf.reduce_sum(square @ square, -1)}

        @tf.function(input_signature=[tf.TensorSpec([None], floats, name="x")])
        def put(self, x):
            with tf.control_dependencies([tf.raw_ops.Stage(values=[x], shared_name="area")]):
                return {"y": tf.identity(x)}

        @tf.function(input_signature=[tf.TensorSpec([None], floats, name="x")])
        def take(self, x):
            return {"y": tf.raw_ops.Unstage(dtypes=[floats], shared_name="area")[0] + x}

    model = Model()
    for name in ("tiny", "wide", "cubic"):
        signatures = {SERVE: getattr(model, name)}
        tf.saved_model.save(model, str(folder / name / "1"), signatures=signatures)
    signatures = {"put": model.put, "take": model.take}
    tf.saved_model.save(model, str(folder / "area" / "1"), signatures=signatures)


def predict(model: str, inputs, signature: str = SERVE) -> bytes:
    """A `PredictRequest` on the wire."""
    message = messages.predict_request(model, inputs, signature, None, None, ())
    return message.SerializeToString()


def claim(shape: tuple[int, ...]) -> bytes:
    """A request for `tiny` with a tensor of that shape and without values."""
    message = messages.predict_request("tiny", {"x": np.zeros(1)}, SERVE, None, None, ())
    message.inputs["x"].CopyFrom(wire.TensorProto(dtype=1))
    for size in shape:
        message.inputs["x"].tensor_shape.dim.add(size=size)
    return message.SerializeToString()


def ask(channel, data: bytes, timeout: float | None = 30.0, method: str = wire.PREDICT) -> bool:
    """Asks, and returns True if there was an answer."""
    try:
        channel.unary_unary(method)(data, timeout=timeout)
    except grpc.RpcError:
        return False
    return True


def repeatedly(until: float, count: int, work: Callable[[], object]) -> None:
    """Does something in so many threads, over and over."""

    def go() -> None:
        while time.monotonic() < until:
            work()

    threads = [threading.Thread(target=go, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()) + 1)


def claims(target: Target, until: float) -> None:
    requests = [claim((178956969, 3)), claim((1 << 20, 16))]
    with target.channel() as channel:
        repeatedly(until, 2, lambda: [ask(channel, data) for data in requests])


def large_answers(target: Target, until: float) -> None:
    data = predict("wide", {"n": np.int32(50_000_000)})
    with target.channel() as channel:
        repeatedly(until, 1, lambda: ask(channel, data))


def large_rest_answers(target: Target, until: float) -> None:
    repeatedly(until, 2, lambda: target.post("wide", b'{"inputs": 5000000}'))


def quick_then_slow(target: Target, until: float) -> None:
    with target.channel() as channel:
        for _ in range(20):
            ask(channel, predict("cubic", {"x": np.ones(8, np.float32)}))
        data = predict("cubic", {"x": np.ones(3000, np.float32)})
        repeatedly(until, 1, lambda: ask(channel, data, 1.0))


def waiting_op(target: Target, until: float) -> None:
    one = {"x": np.ones(1, np.float32)}
    with target.channel() as channel:
        for signature in ("put", "take") * 20:
            ask(channel, predict("area", one, signature), 2.0)
        repeatedly(until, 2, lambda: ask(channel, predict("area", one, "take"), 2.0))


def burst(target: Target, until: float) -> None:
    data = predict("tiny", {"x": np.ones((1, 16), np.float32)})
    with contextlib.ExitStack() as stack:
        methods = [
            stack.enter_context(target.channel()).unary_unary(wire.PREDICT) for _ in range(4)
        ]
        while time.monotonic() < until:
            sent = [method.future(data, timeout=10) for _ in range(1000) for method in methods]
            for call in sent:
                call.exception()


def _frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    head = len(payload).to_bytes(3, "big") + bytes([kind, flags])
    return head + stream.to_bytes(4, "big") + payload


def _open_streams(target: Target, until: float, connections: int) -> None:
    """1,100 calls on each connection whose bodies never come; those that end begin anew."""
    path, authority = wire.PREDICT.encode(), b"localhost"
    headers = b"\x83\x86\x04" + bytes([len(path)]) + path
    headers += b"\x01" + bytes([len(authority)]) + authority
    headers += b"\x0f\x10\x10application/grpc" + b"\x00\x02te\x08trailers"

    def hold() -> None:
        stream = 1
        connection = socket.create_connection(("127.0.0.1", target.port))
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(4, 0, 0) + _frame(4, 1, 0))
        connection.settimeout(0.2)
        ended, data = 1100, b""
        while time.monotonic() < until:
            for _ in range(ended):
                connection.sendall(_frame(1, 4, stream, headers))
                stream += 2
            ended = 0
            with contextlib.suppress(TimeoutError):
                data += connection.recv(1 << 16)
            while len(data) >= 9 and len(data) >= 9 + (size := int.from_bytes(data[:3], "big")):
                kind, flags = data[3], data[4]
                if kind == 6 and not flags:
                    connection.sendall(_frame(6, 1, 0, data[9 : 9 + size]))
                ended += kind == 3 or (kind == 1 and flags & 1)
                data = data[9 + size :]

    def again() -> None:
        with contextlib.suppress(OSError):
            hold()

    repeatedly(until, connections, again)


def open_streams(target: Target, until: float) -> None:
    _open_streams(target, until, 1)


def many_open_streams(target: Target, until: float) -> None:
    _open_streams(target, until, 5)


def zipped_lists(target: Target, until: float) -> None:
    body = gzip.compress(b'{"instances": [' + b"[]," * 15_000_000 + b"[]]}", 6)
    repeatedly(until, 2, lambda: target.post("tiny", body, **{"Content-Encoding": "gzip"}))


def plain_lists(target: Target, until: float) -> None:
    body = b'{"instances": [' + b"[]," * 5_000_000 + b"[]]}"
    repeatedly(until, 2, lambda: target.post("tiny", body))


def plain_numbers(target: Target, until: float) -> None:
    body = b'{"instances": [' + b"0.5," * 5_000_000 + b"0.5]}"
    repeatedly(until, 2, lambda: target.post("tiny", body))


def reloads(target: Target, until: float) -> None:
    message = wire.ReloadConfigRequest()
    for folder in [*target.models.iterdir(), target.models / "absent"]:
        if folder.is_dir() or folder.name == "absent":
            message.config.model_config_list.config.add(
                name=folder.name, base_path=str(folder), model_platform="tensorflow"
            )
    data = message.SerializeToString()
    with target.channel() as channel:
        method = channel.unary_unary(wire.HANDLE_RELOAD_CONFIG)
        waiting = [method.future(data) for _ in range(12)]
        time.sleep(max(0.0, until - time.monotonic()))
        for call in waiting:
            call.cancel()


def no_files(target: Target, until: float) -> None:
    _, hard = resource.prlimit(target.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(target.pid, resource.RLIMIT_NOFILE, (150, hard))
    with contextlib.ExitStack() as stack:
        for port in (target.rest_port, target.port) * 200:
            with contextlib.suppress(OSError):
                stack.enter_context(socket.create_connection(("127.0.0.1", port), 1))
        time.sleep(max(0.0, until - time.monotonic()))


def wrong_width(target: Target, until: float) -> None:
    data = predict("tiny", {"x": np.ones((1, 17), np.float32)})
    with target.channel() as channel:
        repeatedly(until, 4, lambda: ask(channel, data))


def wrong_dtype(target: Target, until: float) -> None:
    data = predict("tiny", {"x": np.ones((1, 16), np.float64)})
    with target.channel() as channel:
        repeatedly(until, 4, lambda: ask(channel, data))


def slow_bodies(target: Target, until: float) -> None:
    head = b"POST /v1/models/tiny:predict HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n"
    with contextlib.ExitStack() as stack:
        sockets = [
            stack.enter_context(socket.create_connection(("127.0.0.1", target.rest_port)))
            for _ in range(300)
        ]
        for connection in sockets:
            connection.sendall(head)
        while time.monotonic() < until:
            for connection in sockets:
                with contextlib.suppress(OSError):
                    connection.sendall(b" ")
            time.sleep(0.1)


@dataclass(frozen=True)
class Attack:
    """A row of the table: what is done, and whether to a server that batches and pads."""

    name: str
    do: Callable[[Target, float], None]
    batching: bool = False


ATTACKS = (
    Attack("messages of 30 bytes that claim 2 GiB and 64 MiB", claims),
    Attack("responses of 200 MB", large_answers),
    Attack("responses of 5 million numbers, REST", large_rest_answers),
    Attack("quick runs with 8 values, then one with 3,000", quick_then_slow),
    Attack("an operation that waits", waiting_op),
    Attack("bursts of 4,000 calls", burst),
    Attack("1,100 calls without bodies, on one connection", open_streams),
    Attack("the same on five connections", many_open_streams),
    Attack("44 KB of gzip: 15 million lists", zipped_lists),
    Attack("15 MB: 5 million lists", plain_lists),
    Attack("20 MB: 5 million numbers", plain_numbers),
    Attack("reloads of a path that is not there", reloads),
    Attack("no file descriptors left", no_files),
    Attack("batch: a row of 17 instead of 16", wrong_width, batching=True),
    Attack("batch: a row of float64", wrong_dtype, batching=True),
    Attack("300 bodies, sent a byte at a time", slow_bodies),
)
