"""A client of TensorFlow Serving and of this package's server, without TensorFlow."""

import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

import grpc
from numpy.typing import ArrayLike

from keras_attention_serving.client import channel, messages
from keras_attention_serving.errors import ServingError
from keras_attention_serving.protocol import wire
from keras_attention_serving.protocol.tensors import Array


class Client:
    """Client of a model server; safe to share between threads.

        with Client("localhost:8500") as client:
            answer = client.predict("date_normalizer", {"text": ["3 May 2021"]})

    Args:
        target: address in gRPC's form: `"host:8500"`, `"dns:///name:8500"` (spread over all its
            addresses), `"unix:/path/to/socket"`.
        timeout: seconds for a call, retries included; finite and more than 0, at most ten years.
            There is always a deadline: a call on a server that hangs would not return otherwise.
        credentials: the authorities to trust, usually from `tls(...)`; no encryption by default.
        gzip: compress requests.
        attempts: number of times that a call is tried while there is no response (UNAVAILABLE) or
            the server is busy (RESOURCE_EXHAUSTED), 1 to 5, with growing pauses.
        wait_for_ready: let calls wait, until the timeout, for a server that has not started yet.
        options: further options of the gRPC channel.
        max_claimed_output_bytes: the most memory that the shapes of outputs may claim beyond the
            bytes that were sent: a response of a few bytes can stand for a large array. None is no
            limit.
    """

    def __init__(
        self,
        target: str,
        *,
        timeout: float = 10.0,
        credentials: grpc.ChannelCredentials | None = None,
        gzip: bool = False,
        attempts: int = 4,
        wait_for_ready: bool = False,
        options: channel.ChannelOptions = (),
        max_claimed_output_bytes: int | None = messages.MAX_CLAIMED_BYTES,
    ) -> None:
        self.target = target
        self.timeout = channel.deadline(timeout)
        self._limit = channel.count("max_claimed_output_bytes", max_claimed_output_bytes, 0)
        self._closed = False
        # Results of `metadata`, by model, version and label.
        self._known: dict[tuple[str, int | None, str | None], messages.ModelMetadata] = {}
        self._wait_for_ready = wait_for_ready
        settings = channel.options(attempts, options)
        self._attempts = int(attempts)
        compression = channel.compression(gzip)
        self._channel = (
            grpc.insecure_channel(target, settings, compression)
            if credentials is None
            else grpc.secure_channel(target, credentials, settings, compression)
        )
        self._predict = self._method(wire.PREDICT)
        self._metadata = self._method(wire.GET_MODEL_METADATA)
        self._status = self._method(wire.GET_MODEL_STATUS)

    def predict(
        self,
        model: str,
        inputs: Mapping[str, ArrayLike],
        *,
        signature: str = wire.DEFAULT_SIGNATURE,
        version: int | None = None,
        label: str | None = None,
        output_filter: Iterable[str] = (),
        timeout: float | None = None,
    ) -> dict[str, Array]:
        """Runs one signature of a model.

        Args:
            model: its name on the server.
            inputs: arrays by the names of the signature's inputs. Arrays keep their dtype; Python
                numbers become float32 and int32; strings may be `str` or `bytes`, in lists or
                `object` arrays (NumPy's "S" and "U" cannot hold NUL characters at the end).
            signature: name of the signature.
            version: number of the version; by default the newest that is available.
            label: a label that the server has for a version, instead of its number.
            output_filter: names of the outputs to compute; all by default.
            timeout: seconds for this call instead of the client's.

        Returns:
            Arrays by the names of the outputs; strings are `object` arrays of `bytes`.

        Raises:
            errors.ServingError: the response is an error or malformed, or there is none; or the
                client is closed.
            ValueError: an input has a dtype that TensorFlow does not know, or mixes strings and
                numbers; or the timeout is not valid.
        """
        known = self._known.get((model, version, label))
        request = messages.predict_request(
            model, inputs, signature, version, label, output_filter, known
        )
        response = self._call(self._predict, wire.PredictResponse, request, timeout)
        result = messages.predict_result(response, self._limit)
        if known is not None and messages.is_outdated(known, response):
            with suppress(ServingError):  # this call has its answer
                self.metadata(model, version=version, label=label, timeout=timeout)
        return result

    def metadata(
        self,
        model: str,
        *,
        version: int | None = None,
        label: str | None = None,
        timeout: float | None = None,
    ) -> messages.ModelMetadata:
        """The signatures of a model: names, dtypes and shapes of inputs and outputs.

        Later predictions with the same model, version and label give optional inputs `(1,)`, or
        left out, once for each row of the others, as a server that batches wants them.
        """
        request = messages.metadata_request(model, version, label)
        response = self._call(self._metadata, wire.GetModelMetadataResponse, request, timeout)
        result = messages.metadata_result(response)
        self._known[model, version, label] = result
        return result

    def status(
        self, model: str, *, version: int | None = None, timeout: float | None = None
    ) -> list[messages.VersionStatus]:
        """The state of every version of a model that the server knows, newest first."""
        request = messages.status_request(model, version)
        response = self._call(self._status, wire.GetModelStatusResponse, request, timeout)
        return messages.status_result(response)

    def close(self) -> None:
        """Closes the connection; calls under way and later ones fail as `Cancelled`."""
        self._closed = True
        self._channel.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _method(self, path: str) -> Any:
        # Responses are parsed here: gRPC would log a malformed one, or return None for it.
        return self._channel.unary_unary(
            path, request_serializer=lambda request: request.SerializeToString()
        )

    def _call(self, method: Any, kind: Any, request: Any, timeout: float | None) -> Any:
        seconds = self.timeout if timeout is None else channel.deadline(timeout)
        if self._closed:
            raise channel.closed(self.target)
        until, tried = time.monotonic() + seconds, 0
        while True:
            try:
                data = method(request, timeout=seconds, wait_for_ready=self._wait_for_ready)
                return messages.parse(kind, data)
            except grpc.RpcError as error:
                tried += 1
                seconds = until - time.monotonic()
                pause = channel.pause(error, tried, self._attempts, seconds)
                if pause is None:
                    raise channel.error_from_rpc(error, self.target) from None
            except ValueError:  # gRPC raises it if another thread has closed the channel meanwhile
                if not self._closed:
                    raise
                raise channel.closed(self.target) from None
            time.sleep(pause)
            seconds -= pause
