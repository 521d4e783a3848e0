"""What does the embedded server cost, and what does batching gain?

    python benchmarks/serving.py [--seconds 3] [--rounds 3] [--connections 1,8,32,128]

Requests per second and latency of Predict over gRPC, for a model that computes next to nothing
(`tiny`), for one that translates text, 256 units wide and with random weights (`text`), and for the
one that `make demo` has trained, if it is there (`demo`). Clients are in a process of their own.
Peers, in the same run and in turns: a gRPC handler that does nothing, a `grpc.aio` server over
`tf.saved_model.load` as one writes it by hand, and the same batches run in process, without any
server.
"""

import asyncio
import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import grpc
import grpc.aio
import numpy as np
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

REPOSITORY = Path(__file__).parents[1]
sys.path[:0] = [str(REPOSITORY / "serving")]

from keras_attention_serving.client import messages  # noqa: E402
from keras_attention_serving.protocol import wire  # noqa: E402
from keras_attention_serving.runtime.saved_model import SavedModel  # noqa: E402

BATCHING = """
max_batch_size {{ value: {size} }}
batch_timeout_micros {{ value: {timeout} }}
max_enqueued_batches {{ value: 100 }}
num_batch_threads {{ value: {threads} }}
"""
SERVERS = ("empty handler", "hand-written", "ours", "ours, batching")
INPUTS = {
    "tiny": {"x": np.ones((1, 16), np.float32)},
    "text": {"text": np.array([b"the 3rd of may, two thousand twenty-one"], object)},
    "demo": {"text": np.array([b"en_GB: Friday, 3rd of may 2019"], object)},
}


def export(folder: Path) -> None:
    """The two models, made with TensorFlow alone: `tiny/1` and `text/1`."""
    import tensorflow as tf

    def variable(*shape: int) -> tf.Variable:
        return tf.Variable(tf.random.stateless_normal(shape, (2, 3)) * shape[0] ** -0.5)

    class Tiny(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.outer = variable(16, 32), variable(32, 4)

        @tf.function(input_signature=[tf.TensorSpec([None, 16], tf.float32, name="x")])
        def predict(self, x):
            return {"y": tf.nn.relu(x @ self.inner) @ self.outer}

    class Text(tf.Module):
        """GRU over 40 bytes, then 20 greedy steps of a GRU with additive attention."""

        units, symbols, steps = 256, 1000, 20

        def __init__(self) -> None:
            super().__init__()
            units, symbols = self.units, self.symbols
            self.embedding = variable(symbols, units)
            self.encoder = [variable(units, 3 * units), variable(units, 3 * units)]
            self.decoder = [variable(2 * units, 3 * units), variable(units, 3 * units)]
            self.query, self.key, self.score = (
                variable(units, units),
                variable(units, units),
                variable(units, 1),
            )
            self.output = variable(2 * units, symbols)

        def cell(self, weights, x, state):
            xz, xr, xh = tf.split(x @ weights[0], 3, -1)
            hz, hr, hh = tf.split(state @ weights[1], 3, -1)
            z = tf.sigmoid(xz + hz)
            return z * state + (1 - z) * tf.tanh(xh + tf.sigmoid(xr + hr) * hh)

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
        def predict(self, text):
            ids = tf.cast(tf.io.decode_raw(text, tf.uint8, fixed_length=40), tf.int32)
            batch = tf.shape(ids)[0]
            embedded = tf.transpose(tf.gather(self.embedding, ids), [1, 0, 2])
            state = tf.zeros([batch, self.units])
            memory = tf.TensorArray(tf.float32, 40, element_shape=[None, self.units])
            for i in tf.range(40):
                state = self.cell(self.encoder, embedded[i], state)
                memory = memory.write(i, state)
            memory = tf.transpose(memory.stack(), [1, 0, 2])
            key = memory @ self.key
            token = tf.zeros([batch], tf.int32)
            found = tf.TensorArray(tf.int32, self.steps, element_shape=[None])
            for i in tf.range(self.steps):
                scores = tf.tanh(key + (state @ self.query)[:, None]) @ self.score
                context = tf.reduce_sum(tf.nn.softmax(scores, 1) * memory, 1)
                x = tf.concat([tf.gather(self.embedding, token), context], -1)
                state = self.cell(self.decoder, x, state)
                logits = tf.concat([state, context], -1) @ self.output
                token = tf.argmax(logits, -1, tf.int32)
                found = found.write(i, token)
            symbols = tf.strings.as_string(tf.transpose(found.stack()))
            return {"text": tf.strings.reduce_join(symbols, -1, separator=" ")}

    for name, model in (("tiny", Tiny()), ("text", Text())):
        path = str(folder / name / "1")
        tf.saved_model.save(model, path, signatures={"serving_default": model.predict})


def newest(base_path: Path) -> Path:
    """The folder of the highest version of a model."""
    return max(
        (path for path in base_path.iterdir() if path.name.isdigit()), key=lambda p: int(p.name)
    )


def serve_empty(port: int) -> None:
    """What gRPC itself can do in Python: bytes in, the same bytes out."""
    from concurrent.futures import ThreadPoolExecutor

    server = grpc.server(ThreadPoolExecutor(8), options=[("grpc.so_reuseport", 0)])
    handlers = {"Predict": grpc.unary_unary_rpc_method_handler(lambda data, context: data)}
    handler = grpc.method_handlers_generic_handler(wire.PREDICTION_SERVICE, handlers)
    server.add_generic_rpc_handlers((handler,))
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    server.wait_for_termination()


def serve_by_hand(port: int, path: str) -> None:
    """The server of the tutorials."""
    import tensorflow as tf
    import tensorflow_text  # noqa: F401  (its operations)
    from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

    class Servicer(prediction_service_pb2_grpc.PredictionServiceServicer):
        def __init__(self) -> None:
            self.model = tf.saved_model.load(path)
            self.signature = self.model.signatures["serving_default"]

        async def Predict(self, request, context):  # noqa: N802
            inputs = {k: tf.constant(tf.make_ndarray(v)) for k, v in request.inputs.items()}
            response = predict_pb2.PredictResponse()
            for name, value in self.signature(**inputs).items():
                response.outputs[name].CopyFrom(tf.make_tensor_proto(value.numpy()))
            return response

    async def serve() -> None:
        server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(Servicer(), server)
        server.add_insecure_port(f"127.0.0.1:{port}")
        await server.start()
        await server.wait_for_termination()

    asyncio.run(serve())


async def load(port: int, model: str, connections: int, seconds: float) -> list[float]:
    """Latencies of as many callers as there are connections, each asking one after the other."""
    data = messages.predict_request(
        model, INPUTS[model], wire.DEFAULT_SIGNATURE, None, None, ()
    ).SerializeToString()
    options = [("grpc.use_local_subchannel_pool", 1)]
    channels = [grpc.aio.insecure_channel(f"127.0.0.1:{port}", options) for _ in range(connections)]
    latencies: list[float] = []
    begin = time.perf_counter() + min(0.5, seconds / 3)
    end = begin + seconds

    async def ask(channel: grpc.aio.Channel) -> None:
        method = channel.unary_unary(wire.PREDICT)
        while (start := time.perf_counter()) < end:
            await method(data, timeout=60)
            if start >= begin:
                latencies.append(time.perf_counter() - start)

    await asyncio.gather(*(ask(channel) for channel in channels))
    await asyncio.gather(*(channel.close() for channel in channels))
    return latencies


def ceiling(path: str, model: str, rows: int, seconds: float) -> list[float]:
    """Seconds per row of batches of so many rows, in process."""
    with SavedModel(path) as saved_model:
        signature = saved_model.signatures["serving_default"]
        feeds = {
            signature.inputs[name].name: np.repeat(value, rows, axis=0)
            for name, value in INPUTS[model].items()
        }
        fetches = [info.name for info in signature.outputs.values()]
        for _ in range(3):
            saved_model.run(feeds, fetches)
        times: list[float] = []
        end = time.perf_counter() + seconds
        while (start := time.perf_counter()) < end:
            saved_model.run(feeds, fetches)
            times.append((time.perf_counter() - start) / rows)
        return times


@contextlib.contextmanager
def server(kind: str, model: str, models: Path, batching: str):
    """A server in a process of its own; yields its port."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    path = models / model
    if kind.startswith("ours"):
        command = ["-m", "keras_attention_serving", f"--port={port}", f"--model_name={model}"]
        command += [f"--model_base_path={path}"]
        if kind.endswith("batching"):
            config = models / f"{model}.batching"
            config.write_text(batching)
            command += ["--enable_batching", f"--batching_parameters_file={config}"]
    elif kind == "hand-written":
        command = [__file__, "--role", "hand", "--port", str(port), "--path", str(newest(path))]
    else:
        command = [__file__, "--role", "empty", "--port", str(port)]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    environment["PYTHONPATH"] = f"{REPOSITORY / 'serving'}:{environment.get('PYTHONPATH', '')}"
    process = subprocess.Popen(
        [sys.executable, *command],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            grpc.channel_ready_future(channel).result(timeout=120)
        yield port
    finally:
        process.kill()
        process.wait()


def measure(**options: object) -> list[float]:
    """Latencies, from a process of its own."""
    arguments = [f"--{name}={value}" for name, value in options.items()]
    output = subprocess.run(
        [sys.executable, __file__, *arguments], check=True, capture_output=True, text=True
    ).stdout
    return [float(value) for value in json.loads(output.splitlines()[-1])]


def compare(
    model: str, models: Path, connections: list[int], seconds: float, rounds: int, batching: str
):
    """Latencies by (server, connections), and the seconds per row in process by connections."""
    found: dict[tuple[str, int], list[list[float]]] = {}
    in_process: dict[int, list[list[float]]] = {}
    with contextlib.ExitStack() as stack, Progress(console=Console(stderr=True)) as progress:
        ports = {
            kind: stack.enter_context(server(kind, model, models, batching)) for kind in SERVERS
        }
        total = rounds * len(connections) * (len(SERVERS) + 1)
        bar = progress.add_task(model, total=total)
        for _ in range(rounds):
            for count in connections:
                for kind, port in ports.items():
                    progress.update(bar, description=f"{model}: {kind} at {count}")
                    result = measure(
                        role="client", port=port, model=model, count=count, seconds=seconds
                    )
                    found.setdefault((kind, count), []).append(result)
                    progress.advance(bar)
                path = newest(models / model)
                result = measure(
                    role="ceiling", path=path, model=model, count=count, seconds=seconds
                )
                in_process.setdefault(count, []).append(result)
                progress.advance(bar)
    return found, in_process


def table(model: str, found, in_process, connections: list[int], seconds: float) -> Table:
    result = Table(title=f"{model}: Predict over gRPC, {os.cpu_count()} processors")
    result.add_column("server", no_wrap=True)
    for name in ("clients", "requests/s", "p50 ms", "p99 ms", "p99.9 ms"):
        result.add_column(name, justify="right")
    for peer in ("empty", "by hand", "in process"):
        result.add_column(f"/ {peer}", justify="right")
    for count in connections:
        rate = {
            kind: statistics.median(len(part) / seconds for part in found[kind, count])
            for kind in SERVERS
        }
        top = statistics.median(1 / statistics.median(part) for part in in_process[count])
        for kind in SERVERS:
            points = [np.percentile(part, [50, 99, 99.9]) * 1e3 for part in found[kind, count]]
            p50, p99, p999 = np.median(points, axis=0)
            ratios = [
                rate[kind] / peer for peer in (rate["empty handler"], rate["hand-written"], top)
            ]
            result.add_row(
                kind,
                str(count),
                f"{rate[kind]:,.0f}",
                *(f"{value:.2f}" for value in (p50, p99, p999, *ratios)),
            )
        result.add_row(
            "in process, batches", str(count), f"{top:,.0f}", *[""] * 6, end_section=True
        )
    return result


@click.command()
@click.option("--seconds", default=3.0, help="Seconds per cell and round.")
@click.option("--rounds", default=3, help="Turns; medians are shown.")
@click.option("--connections", default="1,8,32,128", help="How many clients, in turn.")
@click.option("--models", default="tiny,text,demo", help="Which models.")
@click.option("--timeout_micros", default=20_000, help="batch_timeout_micros.")
@click.option("--threads", default=os.cpu_count(), help="num_batch_threads.")
@click.option("--role", hidden=True)
@click.option("--port", default=0, hidden=True)
@click.option("--path", hidden=True)
@click.option("--model", hidden=True)
@click.option("--count", default=1, hidden=True)
def main(
    seconds, rounds, connections, models, timeout_micros, threads, role, port, path, model, count
):
    """Compares the embedded server with its peers."""
    if role == "empty":
        serve_empty(port)
    elif role == "hand":
        serve_by_hand(port, path)
    elif role == "client":
        print(json.dumps(asyncio.run(load(port, model, count, seconds))))
    elif role == "ceiling":
        print(json.dumps(ceiling(path, model, count, seconds)))
    elif role == "export":
        export(Path(path))
    else:
        counts = [int(value) for value in connections.split(",")]
        batching = BATCHING.format(size=max(counts), timeout=timeout_micros, threads=threads)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            command = [sys.executable, __file__, "--role=export", f"--path={folder}"]
            subprocess.run(command, check=True, capture_output=True)
            demo = REPOSITORY / "saved_models" / "date_normalizer"
            if demo.is_dir():
                (folder / "demo").symlink_to(demo)
            console = Console(width=110)
            for one in models.split(","):
                if not (folder / one).is_dir():
                    console.print(f"{one}: not there, see `make demo`")
                    continue
                found, in_process = compare(one, folder, counts, seconds, rounds, batching)
                console.print(table(one, found, in_process, counts, seconds))


if __name__ == "__main__":
    main()
