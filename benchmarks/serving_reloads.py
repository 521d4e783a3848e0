"""Does a server grow when its models change all the time?

    python benchmarks/serving_reloads.py [--reloads 1000] [--model FOLDER]

Publishes version after version of a model, removes the one before, and prints the memory
of the process, its open files and its threads. The model is a small one made on the spot, or the
version folder that is named.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPOSITORY / "serving")]

from keras_attention_serving.server import Server  # noqa: E402

# In a process of its own: TensorFlow's Python would be in the figures.
EXPORT = """
import sys
import tensorflow as tf

class Model(tf.Module):
    def __init__(self):
        super().__init__()
        self.scale = tf.Variable(tf.random.normal([64, 64]))

    @tf.function(input_signature=[tf.TensorSpec([None, 64], tf.float32, "x")])
    def multiply(self, x):
        return {"y": x @ self.scale}

model = Model()
tf.saved_model.save(model, sys.argv[1], signatures=model.multiply)
"""


def resident_megabytes() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def publish(source: Path, base_path: Path, version: int) -> None:
    """Copied under another name, then renamed, so that it is never seen half."""
    aside = base_path / f"aside-{version}"
    shutil.copytree(source, aside)
    aside.rename(base_path / str(version))


@click.command()
@click.option("--reloads", default=1000, help="How many versions to publish.")
@click.option("--model", type=click.Path(path_type=Path), help="A version folder to publish.")
def main(reloads: int, model: Path | None) -> None:
    """Reloads a model again and again."""
    with tempfile.TemporaryDirectory() as folder:
        if model is None:
            model = Path(folder) / "export"
            subprocess.run(
                [sys.executable, "-c", EXPORT, str(model)], check=True, stderr=subprocess.DEVNULL
            )
        base_path = Path(folder) / "models"
        base_path.mkdir()
        publish(model, base_path, 1)
        table = Table("reloads", "memory, MB", "files", "threads", "seconds")
        start = time.perf_counter()
        with Server(
            {"model": base_path}, port=0, host="127.0.0.1", poll_wait_seconds=0.01
        ) as server:
            for version in range(2, reloads + 2):
                publish(model, base_path, version)
                while server.available() != [("model", version)]:
                    time.sleep(0.001)
                shutil.rmtree(base_path / str(version - 1))
                done = version - 1
                if done in (1, 10, 100) or done % max(1, reloads // 5) == 0:
                    table.add_row(
                        str(done),
                        f"{resident_megabytes():.0f}",
                        str(len(os.listdir("/proc/self/fd"))),
                        str(len(os.listdir("/proc/self/task"))),
                        f"{time.perf_counter() - start:.1f}",
                    )
        Console().print(table)


if __name__ == "__main__":
    main()
