"""`python -m keras_attention_serving`: the embedded server, with TensorFlow Serving's flags."""

import gc
import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from keras_attention_serving import errors
from keras_attention_serving.monitoring import log_format
from keras_attention_serving.protocol import proto_files
from keras_attention_serving.runtime import c_api
from keras_attention_serving.settings.flags import parse, usage
from keras_attention_serving.settings.options import FLAGS, Options

FAILURE = 255
STOP_SECONDS = 3.0  # time to stop besides waiting for calls

logger = logging.getLogger("keras_attention_serving")


class _Stopped(BaseException):
    """Raised by a signal that comes before the server is ready."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a server until SIGTERM or SIGINT; returns the exit status, 255 if it cannot start."""
    parsed = parse(sys.argv[1:] if arguments is None else arguments, FLAGS)
    text = usage("python -m keras_attention_serving", FLAGS)
    for line in parsed.errors:
        print(line, file=sys.stderr)
    if parsed.errors or "--help" in parsed.unknown[:1]:
        print(text, end="")
        return FAILURE
    options = Options(**parsed.values)
    if options.version:
        return _print_versions()
    if options.write_protos:
        return _write_protos(options.write_protos)
    try:
        log_format.configure(options.log_level, options.log_format)
        if parsed.unknown and options.log_format == "json":
            logger.warning("unknown argument: %s", parsed.unknown[0])
        elif parsed.unknown:
            print(f"unknown argument: {parsed.unknown[0]}\n{text}", end="", flush=True)
        return _serve(options)
    except errors.ServingError as error:
        reason = errors.status_text(error)
    except ModuleNotFoundError as error:
        install = 'pip install "keras-attention-serving[server]"'
        reason = f"FAILED_PRECONDITION: {error}: {install}"
    except (errors.StartError, ImportError) as error:
        reason = f"FAILED_PRECONDITION: {error}"
    return _refuse(reason, options.log_format)


def _serve(options: Options) -> int:
    from keras_attention_serving.server import (
        Server,  # imported late: optional packages may be missing
    )

    ready, stopping = threading.Event(), threading.Event()

    def on_signal(number: int, frame: object) -> None:
        signal.signal(number, signal.SIG_DFL)  # a second signal ends the process at once
        stopping.set()
        if not ready.is_set():
            raise _Stopped  # interrupts the start, whatever it waits for

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    try:
        if not (options.xla_cpu_compilation_enabled or options.xla_gpu_compilation_enabled):
            c_api.disable_xla()
        server = Server.from_options(options)
        ready.set()
    except _Stopped:
        return 0
    with server:
        for name, version in server.available():
            where = f"0.0.0.0:{server.port}" if server.port else options.grpc_socket_path
            _say(f"Serving {name} version {version} on {where}", options.log_format)
        gc.collect()
        gc.freeze()  # these objects stay; collecting among them would delay requests
        stopping.wait()
        _end_after(options.stop_grace_seconds + STOP_SECONDS)
    return 0


def _end_after(seconds: float) -> None:
    """Ends the process after so many seconds, because a run of a model cannot be interrupted."""

    def end() -> None:
        logging.warning("Calls did not end within the grace; the process ends without them.")
        logging.shutdown()
        os._exit(0)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()


def _print_versions() -> int:
    try:
        library = c_api.library().TF_Version().decode()
    except ImportError as error:
        return _refuse(f"FAILED_PRECONDITION: {error}")
    print(f"TensorFlow ModelServer: {metadata.version('keras-attention-serving')}+keras_attention")
    print(f"TensorFlow Library: {library}")
    return 0


def _write_protos(folder: str) -> int:
    try:
        proto_files.write(Path(folder))
    except OSError as error:
        return _refuse(errors.status_text(errors.from_os_error(error, folder)))
    return 0


def _refuse(reason: str, form: str = "text") -> int:
    _say(f"Failed to start server. Error: {reason}", form, logging.ERROR)
    return FAILURE


def _say(line: str, form: str, level: int = logging.INFO) -> None:
    """Writes a line about the start to standard output, where scripts wait for it.

    It goes to the log if that is JSON, so that a program has to read only one stream.
    """
    if form == "json":
        logger.log(level, "%s", line)
    else:
        print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
