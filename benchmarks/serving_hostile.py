"""Longest wait of an innocent client beside requests that are made to hurt.

    python benchmarks/serving_hostile.py [--seconds 5] [--calm 2] [--only streams] [--against DIR]

Each attack of `serving_attacks.py` has a server of its own. An innocent client, in another process,
asks a tiny model over gRPC and REST, the health over gRPC and the status over REST, one question of
each kind after the other; first in calm, then during the attack. The bound is ten times its longest
wait in calm, or 50 ms if that is more, and not one failure. Attackers run at a lower priority, as
they have the processors of other machines outside of a benchmark. `--against` names another
checkout, whose server is attacked first.
"""

import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import click
import grpc
import numpy as np
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

REPOSITORY = Path(__file__).parents[1]
sys.path[:0] = [str(REPOSITORY / "serving")]

import serving_attacks  # noqa: E402
from serving_attacks import ATTACKS, Attack, Target  # noqa: E402

from keras_attention_serving.concurrency.processors import processors  # noqa: E402
from keras_attention_serving.protocol import wire  # noqa: E402

PROBES = ("gRPC", "REST", "health", "status")
DEADLINE = 10.0  # of the innocent
PAUSE = 0.01  # between its questions
BATCHING = """
max_batch_size { value: 8 }
batch_timeout_micros { value: 5000 }
max_enqueued_batches { value: 100 }
num_batch_threads { value: 2 }
pad_variable_length_inputs: true
"""


def probes(port: int, rest_port: int):
    """Calls of the innocent client; each raises if the answer is not the right one."""
    x = np.arange(-8, 8, dtype=np.float32)[None]  # no rounding, whatever it is batched with
    request = serving_attacks.predict("tiny", {"x": x})
    body = json.dumps({"instances": x.tolist()}).encode()
    right: dict[str, bytes] = {}
    connections: dict[str, http.client.HTTPConnection] = {}
    # Connections of its own for each, as another client would have them.
    options = [("grpc.use_local_subchannel_pool", 1)]
    address = f"127.0.0.1:{port}"
    model = grpc.insecure_channel(address, options).unary_unary(wire.PREDICT)
    health = grpc.insecure_channel(address, options).unary_unary("/grpc.health.v1.Health/Check")

    def same(name: str, answer: bytes) -> None:
        if answer != right.setdefault(name, answer):
            raise ValueError("another answer")

    def http_answer(name: str, method: str, path: str, data: bytes | None) -> bytes:
        if name not in connections:
            connections[name] = http.client.HTTPConnection("127.0.0.1", rest_port, timeout=DEADLINE)
        try:
            connections[name].request(method, path, data)
            response = connections[name].getresponse()
            answer = response.read()
        except (OSError, http.client.HTTPException):
            connections.pop(name).close()
            raise
        if response.status != 200:
            raise ValueError(f"{response.status}")
        return answer

    path = "/v1/models/tiny"
    return {
        "gRPC": lambda: same("gRPC", model(request, timeout=DEADLINE)),
        "REST": lambda: same("REST", http_answer("REST", "POST", f"{path}:predict", body)),
        "health": lambda: same("health", health(b"", timeout=DEADLINE)),
        "status": lambda: same("status", http_answer("status", "GET", path, None)),
    }


def innocent(port: int, rest_port: int) -> None:
    """Asks until standard input ends; prints name, end, seconds and error of every question."""
    stop = threading.Event()
    found: list[tuple[str, float, float, str]] = []

    def go(name: str, ask) -> None:
        while not stop.wait(PAUSE):
            start, error = time.monotonic(), ""
            try:
                ask()
            except grpc.RpcError as caught:
                error = caught.code().name
            except (OSError, ValueError, http.client.HTTPException) as caught:
                error = str(caught) or type(caught).__name__
            end = time.monotonic()
            found.append((name, end, end - start, error))

    threads = [threading.Thread(target=go, args=item) for item in probes(port, rest_port).items()]
    for thread in threads:
        thread.start()
    sys.stdin.read()
    stop.set()
    for thread in threads:
        thread.join()
    print(json.dumps(found))
    sys.stdout.flush()
    os._exit(0)  # channels that cannot be closed in time are of no interest


def free_ports() -> tuple[int, int]:
    with (
        socket.create_server(("127.0.0.1", 0)) as one,
        socket.create_server(("127.0.0.1", 0)) as other,
    ):
        return one.getsockname()[1], other.getsockname()[1]


@contextlib.contextmanager
def server(folder: Path, checkout: Path, batching: bool):
    """A server in a process of its own; yields what there is to attack, and the process."""
    port, rest_port = free_ports()
    models = [p for p in sorted(folder.iterdir()) if p.is_dir()]
    entries = [
        f'config {{ name: "{p.name}" base_path: "{p}" model_platform: "tensorflow" }}'
        for p in models
    ]
    config, parameters = folder / "models.config", folder / "batching.config"
    config.write_text("model_config_list {\n" + "\n".join(entries) + "\n}\n")
    parameters.write_text(BATCHING)
    command = [sys.executable, "-m", "keras_attention_serving", f"--port={port}"]
    command += [f"--rest_api_port={rest_port}", f"--model_config_file={config}"]
    command += ["--enable_grpc_healthcheck_service"]
    if batching:
        command += ["--enable_batching", f"--batching_parameters_file={parameters}"]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    environment["PYTHONPATH"] = f"{checkout / 'serving'}:{os.environ.get('PYTHONPATH', '')}"
    nowhere = subprocess.DEVNULL
    process = subprocess.Popen(command, env=environment, cwd=folder, stdout=nowhere, stderr=nowhere)
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            grpc.channel_ready_future(channel).result(timeout=120)
        yield Target(port, rest_port, process.pid, folder), process
    finally:
        process.kill()
        process.wait()


def again(role: str, *arguments: object, **options: object) -> subprocess.Popen:
    """This script in another process."""
    command = [sys.executable, __file__, f"--role={role}", *map(str, arguments)]
    command += [f"--{name}={value}" for name, value in options.items()]
    pipe = subprocess.PIPE
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    return subprocess.Popen(
        command, env=environment, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True
    )


def peak_memory(pid: int) -> float:
    """The most megabytes that a process has had."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0


def measure(attack: Attack, folder: Path, checkout: Path, calm: float, seconds: float):
    """The innocent's questions, when the attack began, and megabytes (None: the server ended)."""
    with server(folder, checkout, attack.batching) as (target, process):
        ports = {"port": target.port, "rest": target.rest_port}
        asking = again("innocent", **ports)
        time.sleep(1 + calm)  # it has to start, too
        attacking = again(
            "attacker",
            **ports,
            pid=target.pid,
            path=folder,
            only=attack.name,
            seconds=seconds,
        )
        attacking.stdout.readline()  # it begins
        begin = time.monotonic()
        with contextlib.suppress(subprocess.TimeoutExpired):
            attacking.wait(seconds + 5)
        output, _ = asking.communicate("")
        megabytes = peak_memory(target.pid) if process.poll() is None else None
        attacking.kill()
        attacking.wait()
    return json.loads(output), begin, megabytes


def row(found, begin: float, megabytes: float | None) -> list[str]:
    """The cells of a measurement."""
    cells, held = [], megabytes is not None
    for probe in PROBES:
        mine = [item for item in found if item[0] == probe]
        # Its first question opens the connection.
        before = max((seconds for _, end, seconds, _ in mine[1:] if end < begin), default=0.0)
        during = max((seconds for _, end, seconds, _ in mine if end >= begin), default=0.0)
        held = held and during <= max(10 * before, 0.05)
        cells.append(f"{1e3 * before:,.0f} / {1e3 * during:,.0f}")
    bad = [error for _, end, _, error in found if error and end >= begin]
    total = sum(end >= begin for _, end, _, _ in found)
    cells += [f"{len(bad):,} of {total:,}" if bad else "0"]
    cells += ["ended" if megabytes is None else f"{megabytes:,.0f}"]
    return [*cells, "yes" if held and not bad else "no"]


@click.command()
@click.option("--seconds", default=5.0, help="How long each attack goes on.")
@click.option("--calm", default=2.0, help="How long the innocent asks in calm before.")
@click.option("--only", default="", help="Attacks with this in their names.")
@click.option("--against", type=click.Path(exists=True), help="Another checkout, for comparison.")
@click.option("--role", hidden=True)
@click.option("--port", default=0, hidden=True)
@click.option("--rest", default=0, hidden=True)
@click.option("--pid", default=0, hidden=True)
@click.option("--path", hidden=True)
def main(seconds, calm, only, against, role, port, rest, pid, path):
    """Attacks the embedded server and asks how others fare."""
    if role == "export":
        serving_attacks.export(Path(path))
        return
    if role == "innocent":
        innocent(port, rest)
        return
    attacks = [attack for attack in ATTACKS if only in attack.name]
    if role == "attacker":
        os.nice(10)
        print("begins", flush=True)
        attacks[0].do(Target(port, rest, pid, Path(path)), time.monotonic() + seconds)
        os._exit(0)
    checkouts = {"after": REPOSITORY}
    if against:
        checkouts = {"before": Path(against).absolute(), **checkouts}
    table = Table(title=f"Longest wait in ms, calm / attack; {processors()} processors")
    table.add_column("attack")
    if against:
        table.add_column("server", no_wrap=True)
    for name in (*PROBES, "failures", "MB", "in bounds"):
        table.add_column(name, justify="right", no_wrap=True)
    with tempfile.TemporaryDirectory() as name, Progress(console=Console(stderr=True)) as progress:
        folder = Path(name)
        again("export", path=folder).communicate()
        bar = progress.add_task("", total=len(attacks) * len(checkouts))
        for attack in attacks:
            for which, checkout in checkouts.items():
                progress.update(bar, description=f"{attack.name} ({which})")
                cells = row(*measure(attack, folder, checkout, calm, seconds))
                table.add_row(attack.name, *([which] if against else []), *cells)
                progress.advance(bar)
            table.add_section()
    Console(width=150).print(table)


if __name__ == "__main__":
    main()
