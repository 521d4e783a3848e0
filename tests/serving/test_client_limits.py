"""Both clients with odd arguments, odd responses, a busy server, and after `close`."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import grpc
import numpy as np
import pytest
import tensorflow as tf

from keras_attention_serving import AsyncClient, Client, errors
from keras_attention_serving.client import channel
from keras_attention_serving.protocol import tensors, wire
from keras_attention_serving.server import Server as EmbeddedServer
from keras_attention_serving.settings.options import Options

SHIPPED = Path(__file__).parents[2] / "serving" / "tf_serving" / "batching.config"

METHODS = (wire.PREDICT, wire.GET_MODEL_METADATA, wire.GET_MODEL_STATUS)
GIB = wire.TensorProto(dtype="DT_FLOAT", tensor_shape={"dim": [{"size": 2**28}]})


class Server:
    """A gRPC server that responds with fixed bytes, or a status, and keeps its requests."""

    def __init__(self):
        self.answers = {}  # bytes or a status code by method, or a list of them in turn
        self.requests = []
        self.under_way = self.most = 0
        self.lock = threading.Lock()
        self.release = threading.Event()
        self.release.set()
        handlers = {
            path: grpc.unary_unary_rpc_method_handler(self.handler(path)) for path in METHODS
        }
        self.server = grpc.server(ThreadPoolExecutor(13))
        for service in (wire.PREDICTION_SERVICE, wire.MODEL_SERVICE):
            own = {p.split("/")[2]: h for p, h in handlers.items() if p.split("/")[1] == service}
            self.server.add_generic_rpc_handlers(
                (grpc.method_handlers_generic_handler(service, own),)
            )
        self.address = f"127.0.0.1:{self.server.add_insecure_port('127.0.0.1:0')}"
        self.server.start()

    def handler(self, path):
        def handle(request, context):
            with self.lock:
                self.requests.append(request)
                self.under_way += 1
                self.most = max(self.most, self.under_way)
                answer = self.answers.get(path, b"")
                if isinstance(answer, list):
                    answer = answer.pop(0)
            self.release.wait(30)
            with self.lock:
                self.under_way -= 1
            if isinstance(answer, grpc.StatusCode):
                context.abort(answer, "not now")
            return answer

        return handle


@pytest.fixture
def server():
    server = Server()
    yield server
    server.release.set()
    server.server.stop(None).wait()


def ask(kind, address, call, **arguments):
    """Calls `call` with a client; awaits the result of an asynchronous one."""
    if kind == "sync":
        with Client(address, **arguments) as client:
            return call(client)

    async def main():
        async with AsyncClient(address, **arguments) as client:
            return await call(client)

    return asyncio.run(main())


both = pytest.mark.parametrize("kind", ["sync", "async"])
CALLS = {
    "predict": lambda client, **more: client.predict("model", {}, **more),
    "metadata": lambda client, **more: client.metadata("model", **more),
    "status": lambda client, **more: client.status("model", **more),
}
NO_TIMEOUTS = [float("inf"), float("nan"), 0, -1, True, "5", np.bool_(True), np.float64("nan"), [5]]


@both
@pytest.mark.parametrize("timeout", NO_TIMEOUTS, ids=repr)
def test_what_is_no_timeout(kind, timeout):
    with pytest.raises(ValueError, match=r"finite timeout of more than 0 seconds. Received: tim"):
        ask(kind, "127.0.0.1:1", CALLS["status"], timeout=timeout)
    for call in CALLS.values():
        with pytest.raises(ValueError, match=r"finite timeout of more than 0 seconds. Received: t"):
            ask(kind, "127.0.0.1:1", lambda client, call=call: call(client, timeout=timeout))


@both
@pytest.mark.parametrize(
    "timeout", [1e300, 10**400, 1e10, Fraction(61, 2), np.float32(31)], ids=str
)
def test_long_timeouts_are_long(kind, timeout, server):
    assert ask(kind, server.address, CALLS["predict"], timeout=timeout) == {}
    assert ask(kind, server.address, lambda c: CALLS["status"](c, timeout=timeout)) == []


def output(**fields):
    proto = fields.pop("proto", None) or wire.TensorProto(**fields)
    return wire.PredictResponse(outputs={"good": wire.TensorProto(dtype=1), "odd": proto})


def sizes(*numbers):
    return {"dim": [{"size": number} for number in numbers]}


@both
@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        (output(dtype=1, tensor_shape=sizes(2), float_val=[2, 3, 5]), errors.Internal, "2 values"),
        (output(dtype=1, tensor_shape=sizes(2), int_val=[2, 3]), errors.Internal, "float_val or"),
        (output(dtype=1, float_val=[2], tensor_content=b"1234"), errors.Internal, "content, float"),
        (output(dtype=3, tensor_shape=sizes(2), tensor_content=b"abc"), errors.Internal, "8 bytes"),
        (output(dtype=7, tensor_shape=sizes(3), tensor_content=b"\x05a"), errors.Internal, "3 len"),
        (output(dtype=7, string_val=[b"a", b"b"]), errors.Internal, "at most 1 values"),
        (output(dtype=8, tensor_shape=sizes(1), scomplex_val=[1]), errors.Internal, "pairs"),
        (output(dtype=99), errors.Internal, "dtype=99"),
        (output(dtype="DT_RESOURCE"), errors.Internal, "dtype=DT_RESOURCE"),
        (output(), errors.Internal, "dtype=DT_INVALID"),
        (output(dtype=1, tensor_shape=sizes(-1)), errors.Internal, "fully known"),
        (output(dtype=1, tensor_shape={"unknown_rank": True}), errors.Internal, "fully known"),
        (output(dtype=1, tensor_shape=sizes(2**62, 2**62)), errors.Internal, "2 GiB"),
        (output(dtype=1, tensor_shape=sizes(*[2**62] * 20_011)), errors.Internal, "dimension"),
        (output(proto=GIB), errors.ResourceExhausted, "max_claimed_output_bytes"),
        (
            output(dtype=7, tensor_shape=sizes(10_007), string_val=[b"a" * 10_007]),
            errors.ResourceExhausted,
            "max_claimed_output_bytes",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_malformed_outputs_are_named(kind, answer, error, message, server):
    server.answers[wire.PREDICT] = answer.SerializeToString()
    with pytest.raises(error, match=rf"'odd'.*{message}"):
        ask(kind, server.address, CALLS["predict"], attempts=1)


@both
def test_a_claim_is_made_if_asked_for(kind, server):
    proto = wire.TensorProto(dtype=1, tensor_shape=sizes(2**20, 17), float_val=[3])
    server.answers[wire.PREDICT] = output(proto=proto).SerializeToString()
    for limit in (None, 4 * 17 * 2**20):
        found = ask(kind, server.address, CALLS["predict"], max_claimed_output_bytes=limit)
        assert (found["odd"] == 3).all()
        assert found["odd"].shape == (2**20, 17)
    with pytest.raises(errors.ResourceExhausted, match="claim at most 71303167 bytes"):
        ask(kind, server.address, CALLS["predict"], max_claimed_output_bytes=4 * 17 * 2**20 - 1)


@both
@pytest.mark.parametrize("limit", [-1, 0.5, True, "7"])
def test_what_is_no_limit(kind, limit):
    with pytest.raises(ValueError, match="Expected max_claimed_output_bytes of at least 0, or No"):
        ask(kind, "127.0.0.1:1", CALLS["status"], max_claimed_output_bytes=limit)


SOUND = output(dtype=1, float_val=[2]).SerializeToString()


@both
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    "data",
    [SOUND[:-3], b"\xff" * 7, b"\x0a\x7f"],
    ids=["truncated", "noise", "length"],
)
def test_bytes_that_are_no_message(kind, call, data, server):
    server.answers = dict.fromkeys(METHODS, data)
    with pytest.raises(errors.Internal, match="Expected a .*Response from the server"):
        ask(kind, server.address, CALLS[call], attempts=1)


@both
def test_text_that_is_not_utf8(kind, server):
    spec = wire.ModelSpec(name="ab").SerializeToString().replace(b"ab", b"\xff\xfe")
    server.answers[wire.GET_MODEL_METADATA] = b"\x0a" + bytes([len(spec)]) + spec
    named = wire.PredictResponse(outputs={"ab": wire.TensorProto(dtype=1)}).SerializeToString()
    server.answers[wire.PREDICT] = named.replace(b"ab", b"\xff\xfe")
    for call in ("predict", "metadata"):
        with pytest.raises(errors.Internal, match="Response from the server"):
            ask(kind, server.address, CALLS[call], attempts=1)


def metadata(*, value=None, **signatures):
    answer = wire.GetModelMetadataResponse(model_spec={"name": "model", "version": {"value": 7}})
    answer.metadata["signature_def"].Pack(wire.SignatureDefMap(signature_def=signatures))
    if value is not None:
        answer.metadata["signature_def"].value = value
    return answer


@both
@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (wire.GetModelMetadataResponse(), "Expected a SignatureDefMap .* 0 bytes of type ''"),
        (metadata(value=b"\xff" * 5), "Expected a SignatureDefMap .* 5 bytes of type 'type.goo"),
        (
            metadata(beam=wire.SignatureDef(defaults={"x": wire.TensorProto(dtype=99)})),
            "Malformed default of input 'x': .*dtype=99",
        ),
    ],
    ids=["none", "noise", "default"],
)
def test_malformed_metadata(kind, answer, message, server):
    server.answers[wire.GET_MODEL_METADATA] = answer.SerializeToString()
    with pytest.raises(errors.Internal, match=message):
        ask(kind, server.address, CALLS["metadata"], attempts=1)


@both
def test_a_state_that_is_none(kind, server):
    answer = wire.GetModelStatusResponse(model_version_status=[{"version": 7}])
    answer.model_version_status[0].state = 77
    server.answers[wire.GET_MODEL_STATUS] = answer.SerializeToString()
    with pytest.raises(errors.Internal, match="a state of version 7. Received: state=77"):
        ask(kind, server.address, CALLS["status"], attempts=1)


@pytest.mark.parametrize("call", CALLS)
def test_a_closed_client(call, server):
    client = Client(server.address)
    client.close()
    client.close()
    with pytest.raises(errors.Cancelled, match=f"^The client of {server.address} is closed.$"):
        CALLS[call](client)


@pytest.mark.parametrize("call", CALLS)
def test_a_closed_asynchronous_client(call, server):
    async def main():
        client = AsyncClient(server.address)
        await client.close()
        await client.close()
        with pytest.raises(errors.Cancelled, match=f"^The client of {server.address} is closed.$"):
            await CALLS[call](client)

    asyncio.run(main())


def test_calls_under_way_at_the_end(server):
    async def main():
        client = AsyncClient(server.address, max_pending_calls=2)
        calls = [asyncio.create_task(CALLS["predict"](client)) for _ in range(5)]
        while len(server.requests) < 2:
            await asyncio.sleep(0.01)
        await client.close()
        return await asyncio.gather(*calls, return_exceptions=True)

    server.release.clear()
    assert [type(error) for error in asyncio.run(main())] == [errors.Cancelled] * 5


def test_a_task_that_is_cancelled_stays_cancelled(server):
    async def main():
        client = AsyncClient(server.address)
        call = asyncio.create_task(CALLS["predict"](client))
        while not server.requests:
            await asyncio.sleep(0.01)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await client.close()

    server.release.clear()
    asyncio.run(main())


def test_calls_wait_for_a_place(server):
    async def main():
        async with AsyncClient(server.address, max_pending_calls=3) as client:
            calls = [asyncio.create_task(CALLS["predict"](client)) for _ in range(101)]
            while server.under_way < 3:
                await asyncio.sleep(0.01)
            server.release.set()
            return await asyncio.gather(*calls)

    server.release.clear()
    assert asyncio.run(main()) == [{}] * 101
    assert server.most == 3


@pytest.mark.parametrize("number", [0, -1, 2.5, True, "3"])
def test_what_is_no_number_of_calls(number):
    async def main():
        AsyncClient("127.0.0.1:1", max_pending_calls=number)

    with pytest.raises(ValueError, match="Expected max_pending_calls of at least 1, or None. Rec"):
        asyncio.run(main())


@both
@pytest.mark.parametrize("status", ["RESOURCE_EXHAUSTED", "UNAVAILABLE"])
def test_a_busy_server_is_asked_again_however_large_the_request(kind, status, server):
    server.answers[wire.PREDICT] = [grpc.StatusCode[status], b""]
    text = [b"a" * 1_000_003]
    assert ask(kind, server.address, lambda c: c.predict("model", {"text": text})) == {}
    assert len(server.requests) == 2


@both
def test_a_busy_server_is_asked_as_often_as_told(kind, server):
    server.answers[wire.PREDICT] = grpc.StatusCode.RESOURCE_EXHAUSTED
    for attempts in (3, 1):
        with pytest.raises(errors.ResourceExhausted, match="not now"):
            ask(kind, server.address, CALLS["predict"], attempts=attempts)
        assert len(server.requests) == attempts
        server.requests.clear()


@both
def test_what_can_never_succeed_is_not_tried_again(kind, server, base_path, monkeypatch):
    """A message that is too large for either side, or for the limit on claims."""
    tried, pause = [], channel.pause
    monkeypatch.setattr(channel, "pause", lambda *a: tried.append(a[1]) or pause(*a))
    sent = {"x": np.zeros(1009, np.float32)}
    limit = [("grpc.max_send_message_length", 1009)]
    with pytest.raises(errors.ResourceExhausted, match="larger than max"):
        ask(kind, server.address, lambda c: c.predict("model", sent), options=limit)
    settings = Options(
        max_claimed_input_bytes=1 << 22,
        grpc_channel_arguments="grpc.max_receive_message_length=1009",
    )
    models = {"model": base_path}
    with EmbeddedServer(models, port=0, host="127.0.0.1", settings=settings) as embedded:
        address = f"127.0.0.1:{embedded.port}"
        with pytest.raises(errors.ResourceExhausted, match="larger than max"):
            ask(kind, address, lambda c: c.predict("model", sent))
        proto = wire.TensorProto(dtype="DT_FLOAT", tensor_shape={"dim": [{"size": 2**28}]})
        monkeypatch.setattr(tensors, "to_proto", lambda array: proto)
        with pytest.raises(errors.ResourceExhausted, match="max_claimed_input_bytes"):
            ask(kind, address, lambda c: c.predict("model", {"x": 1}))
    assert tried == [1, 1, 1]


BEAM = wire.SignatureDef(
    inputs={
        "text": {"dtype": 7, "tensor_shape": sizes(-1)},
        "length_penalty": {"dtype": 1, "tensor_shape": sizes(-1)},
        "prefix": {"dtype": 7, "tensor_shape": sizes(-1)},
        "limit": {"dtype": 3},
    },
    defaults={
        "length_penalty": {"dtype": 1, "tensor_shape": sizes(1), "float_val": [0.5]},
        "prefix": {"dtype": 7, "tensor_shape": sizes(1), "string_val": [b"a\0"]},
        "limit": {"dtype": 3, "int_val": [13]},
    },
)


@both
@pytest.mark.parametrize(
    ("inputs", "sent"),
    [
        ({"text": ["x"] * 3}, {"length_penalty": [0.5] * 3, "prefix": [b"a\0"] * 3}),
        (
            {"text": ["x"] * 2, "length_penalty": [0.25], "prefix": ["c", "d"]},
            {"length_penalty": [0.25] * 2, "prefix": [b"c", b"d"]},
        ),
        ({"text": ["x"]}, {}),
        ({"text": ["x"] * 2, "other": [3] * 5}, {"other": [3] * 5}),
        ({}, {}),
    ],
)
def test_settings_are_filled_up_if_the_signature_is_known(kind, inputs, sent, server):
    def call(client):
        if kind == "async":
            return wait(client)
        client.metadata("model")
        return client.predict("model", inputs, signature="beam")

    async def wait(client):
        await client.metadata("model")
        return await client.predict("model", inputs, signature="beam")

    server.answers[wire.GET_MODEL_METADATA] = metadata(beam=BEAM).SerializeToString()
    ask(kind, server.address, call)
    request = wire.PredictRequest.FromString(server.requests[1])
    found = {n: tensors.to_array(p).tolist() for n, p in request.inputs.items() if n != "text"}
    assert found == sent


@pytest.fixture(scope="module")
def batching(tmp_path_factory):
    """The embedded server with the shipped batching, and a model with optional inputs."""

    scale, prefix = tf.constant([2.0]), tf.constant([b"a"])

    class Scaled(tf.Module):
        @tf.function(
            input_signature=[
                tf.TensorSpec([None], tf.string, "text"),
                tf.TensorSpec([None], tf.float32, "scale"),
                tf.TensorSpec([None], tf.string, "prefix"),
            ]
        )
        def serve(self, text, scale=scale, prefix=prefix):
            length = tf.cast(tf.strings.length(text), tf.float32)
            return {"length": length * scale, "text": prefix + text}

    folder = tmp_path_factory.mktemp("optional")
    model = Scaled()
    tf.saved_model.save(model, str(folder / "1"), signatures={"scaled": model.serve})
    settings = Options(enable_batching=True, batching_parameters_file=str(SHIPPED))
    with EmbeddedServer({"model": folder}, port=0, host="127.0.0.1", settings=settings) as server:
        yield f"127.0.0.1:{server.port}"


def test_shipped_batching_takes_what_is_filled_up(batching):
    inputs = {"text": ["b", "cc", "ddd"], "scale": [5.0]}
    with Client(batching) as client:
        with pytest.raises(errors.InvalidArgument, match="must have equal 0th-dimension size"):
            client.predict("model", inputs, signature="scaled")
        defaults = client.metadata("model").signatures["scaled"].defaults
        found = client.predict("model", inputs, signature="scaled")
    assert {name: value.tolist() for name, value in defaults.items()} == {
        "scale": [2.0],
        "prefix": [b"a"],
    }
    assert found["length"].tolist() == [5, 10, 15]
    assert found["text"].tolist() == [b"ab", b"acc", b"addd"]


def test_a_new_version_is_asked_for_its_signatures(server):
    server.answers[wire.GET_MODEL_METADATA] = metadata(beam=BEAM).SerializeToString()
    answer = wire.PredictResponse(model_spec={"name": "model", "version": {"value": 8}})
    server.answers[wire.PREDICT] = answer.SerializeToString()
    with Client(server.address) as client:
        client.metadata("model")
        client.predict("model", {"text": ["x"] * 3}, signature="beam")
    assert [len(request) > 60 for request in server.requests] == [False, True, False]


def test_an_input_that_cannot_be_sent_is_named():
    with Client("127.0.0.1:1") as client:
        for value in (["a", 1], np.array(["a", 1], object), np.array(["2021-05-03"], "M8[D]")):
            with pytest.raises(ValueError, match="^Input 'text': Expected .* Received: "):
                client.predict("model", {"text": value})
