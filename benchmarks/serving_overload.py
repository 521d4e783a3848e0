"""Ten times more than the server can do: what does it do?

    python benchmarks/serving_overload.py [--seconds 30] [--factor 10]

A model that computes for 40 ms is asked, over gRPC, by as many clients as keep it busy; then for
`factor` times as many answers per second as it gave; then as before. Once with batching, whose
queue is short, and once without. The right thing is to refuse at once what cannot be done in time
(UNAVAILABLE from a full queue, RESOURCE_EXHAUSTED without one), to answer as many as ever, and to
be as good as before when it is over.
"""

import asyncio
import collections
import json
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

import serving
from keras_attention_serving.client import messages
from keras_attention_serving.protocol import wire

MODEL = "slow"
DEADLINE = 1.0
BATCHING = "\n".join(
    (
        "max_batch_size { value: 4 }",
        "batch_timeout_micros { value: 5000 }",
        "max_enqueued_batches { value: 8 }",
        "num_batch_threads { value: 2 }",
    )
)


def export(folder: Path) -> None:
    """A model that counts for 40 ms before it answers."""
    import tensorflow as tf

    class Slow(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, 1], tf.float32, name="x")])
        def predict(self, x):
            end = tf.timestamp() + 0.04
            turns = tf.while_loop(lambda i: tf.timestamp() < end, lambda i: [i + 1], [0])[0]
            return {"y": x + tf.cast(turns > 0, tf.float32)}

    model = Slow()
    tf.saved_model.save(
        model, str(folder / MODEL / "1"), signatures={"serving_default": model.predict}
    )


async def ask(port: int, seconds: float, rate: float, clients: int) -> list[tuple[str, float]]:
    """Code and latency of every request: `rate` per second, or `clients` in turn if that is 0."""
    data = messages.predict_request(
        MODEL, {"x": np.zeros((1, 1), np.float32)}, wire.DEFAULT_SIGNATURE, None, None, ()
    ).SerializeToString()
    found: list[tuple[str, float]] = []
    options = [("grpc.use_local_subchannel_pool", 1)]
    channels = [grpc.aio.insecure_channel(f"127.0.0.1:{port}", options) for _ in range(clients)]
    methods = [channel.unary_unary(wire.PREDICT) for channel in channels]
    begin = time.perf_counter()

    async def one(method) -> None:
        start = time.perf_counter()
        try:
            await method(data, timeout=DEADLINE)
            code = "OK"
        except grpc.aio.AioRpcError as error:
            code = error.code().name
        found.append((code, time.perf_counter() - start))

    async def in_turn(method) -> None:
        while time.perf_counter() < begin + seconds:
            await one(method)

    if not rate:
        await asyncio.gather(*map(in_turn, methods))
    else:
        tasks, sent = set(), 0
        while (now := time.perf_counter() - begin) < seconds:
            while sent < now * rate:
                task = asyncio.ensure_future(one(methods[sent % clients]))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
                sent += 1
            await asyncio.sleep(0.002)
        await asyncio.gather(*tasks)
    await asyncio.gather(*(channel.close() for channel in channels))
    return found


def run(port: int, seconds: float, rate: float, clients: int) -> list[tuple[str, float]]:
    """`ask` from a process of its own."""
    command = [sys.executable, __file__, "--role=client", f"--port={port}"]
    command += [f"--seconds={seconds}", f"--rate={rate}", f"--clients={clients}"]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [tuple(item) for item in json.loads(output)]


def add_row(table: Table, name: str, phase: str, seconds: float, answers) -> float:
    codes = collections.Counter(code for code, _ in answers)
    good = [latency for code, latency in answers if code == "OK"]
    refused = [latency for code, latency in answers if code != "OK"]
    others = ", ".join(f"{n:,} {code}" for code, n in codes.most_common() if code != "OK")
    table.add_row(
        name,
        phase,
        f"{len(answers) / seconds:,.0f}",
        f"{len(good) / seconds:,.1f}",
        *(f"{np.percentile(good, q) * 1e3:,.0f}" if good else "" for q in (50, 99)),
        f"{np.percentile(refused, 50) * 1e3:,.1f}" if refused else "",
        others,
    )
    return len(good) / seconds


@click.command()
@click.option("--seconds", default=30.0, help="How long there is too much.")
@click.option("--factor", default=10.0, help="How many times too much.")
@click.option("--clients", default=8, help="Clients that keep it busy, and connections.")
@click.option("--role", hidden=True)
@click.option("--port", default=0, hidden=True)
@click.option("--rate", default=0.0, hidden=True)
def main(seconds, factor, clients, role, port, rate):
    """Asks the embedded server for more than it can do."""
    if role == "client":
        print(json.dumps(asyncio.run(ask(port, seconds, rate, clients))))
        return
    table = Table(
        title=f"{factor:g} times what it can do, for {seconds:g} s; deadline {DEADLINE:g} s"
    )
    for name in ("server", "phase"):
        table.add_column(name, no_wrap=True)
    for name in ("asked/s", "answered/s", "p50 ms", "p99 ms", "refused after ms"):
        table.add_column(name, justify="right")
    table.add_column("not answered")
    calm = min(seconds, 5.0)
    with tempfile.TemporaryDirectory() as name, Progress(console=Console(stderr=True)) as progress:
        export(Path(name))
        bar = progress.add_task("", total=6)
        for kind in ("ours, batching", "ours"):
            with serving.server(kind, MODEL, Path(name), BATCHING) as at:
                run(at, 1.0, 0, clients)  # warm
                able = 0.0
                for phase in ("before", "too much", "after"):
                    progress.update(bar, description=f"{kind}: {phase}")
                    much = phase == "too much"
                    length = seconds if much else calm
                    answers = run(at, length, able * factor if much else 0, clients)
                    found = add_row(table, kind, phase, length, answers)
                    able = able or found
                    progress.advance(bar)
            table.add_section()
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
