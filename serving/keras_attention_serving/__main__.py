"""`python -m keras_attention_serving`: the embedded server, with TensorFlow Serving's flags."""

import argparse
import logging
import signal
import sys
import threading
from collections.abc import Sequence
from importlib import metadata

from keras_attention_serving import c_api
from keras_attention_serving.errors import StartError
from keras_attention_serving.server import Server


def parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(
        prog="python -m keras_attention_serving",
        description="Serves a SavedModel over TensorFlow Serving's gRPC API.",
        allow_abbrev=False,
    )
    add = result.add_argument
    add("--port", type=int, default=8500, help="TCP port; 0 picks a free one (default: 8500)")
    add("--grpc_socket_path", help="also listen on this UNIX socket")
    add("--model_name", default="default", help="what requests call the model (default: default)")
    add("--model_base_path", help="folder of the version folders")
    add(
        "--file_system_poll_wait_seconds",
        type=float,
        default=1.0,
        help="seconds between looks for new versions; 0 for never (default: 1)",
    )
    add("--grpc_max_threads", type=int, help="calls at a time (default: 4 per processor)")
    add(
        "--enable_model_warmup",
        type=_boolean,
        nargs="?",
        const=True,
        default=True,
        help="answer the warm-up requests beside a model before serving it (default: true)",
    )
    add("--version", action="store_true", help="print versions and exit")
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Serves until SIGTERM or SIGINT. Returns the exit status: 0, or 2 if it cannot start."""
    flags = parser().parse_args(arguments)
    if flags.version:
        print(f"keras_attention_serving: {metadata.version('keras-attention')}")
        print(f"TensorFlow Library: {c_api.library().TF_Version().decode()}")
        return 0
    if not flags.model_base_path:
        return _refuse("Expected --model_base_path=FOLDER. Received: none")

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    stopping = threading.Event()

    def on_signal(number: int, frame: object) -> None:
        signal.signal(number, signal.SIG_DFL)  # a second one ends the process at once
        stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    try:
        server = Server(
            {flags.model_name: flags.model_base_path},
            port=flags.port,
            socket_path=flags.grpc_socket_path,
            poll_wait_seconds=flags.file_system_poll_wait_seconds,
            max_threads=flags.grpc_max_threads,
            enable_warmup=flags.enable_model_warmup,
        )
    except (StartError, ImportError) as error:
        return _refuse(str(error))
    with server:
        for name, version in server.available():
            print(f"Serving {name} version {version} on 0.0.0.0:{server.port}", flush=True)
        stopping.wait()
    return 0


def _refuse(reason: str) -> int:
    print(f"Failed to start server. Error: {reason}", file=sys.stderr)
    return 2


def _boolean(text: str) -> bool:
    choices = {"true": True, "1": True, "false": False, "0": False}
    if text.lower() not in choices:
        raise argparse.ArgumentTypeError(f"Expected true or false. Received: {text}")
    return choices[text.lower()]


if __name__ == "__main__":
    sys.exit(main())
