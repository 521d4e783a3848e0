"""A client of TensorFlow Serving and of this package's server, without TensorFlow."""

from collections.abc import Iterable, Mapping
from typing import Any

import grpc
from numpy.typing import ArrayLike

from keras_attention_serving import calls, channel, wire
from keras_attention_serving.tensors import Array


class Client:
    """Asks models on a server; safe to share between threads.

        with Client("localhost:8500") as client:
            answer = client.predict("date_normalizer", {"text": ["3 May 2021"]})

    Args:
        target: address in gRPC's form: `"host:8500"`, `"dns:///name:8500"` (spread over all its
            addresses), `"unix:/path/to/socket"`.
        timeout: seconds for a call, retries included. There is always a deadline: a call on a
            server that hangs would not return otherwise.
        credentials: who may be trusted, usually from `tls(...)`; no encryption by default.
        gzip: compress what is sent.
        attempts: how often a call is tried while nobody answers (UNAVAILABLE), 1 to 5.
        wait_for_ready: let calls wait for a server that is not there yet, until the timeout.
        options: further options of the gRPC channel.
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
    ) -> None:
        self.target = target
        self.timeout = channel.deadline(timeout)
        self._wait_for_ready = wait_for_ready
        settings = channel.options(attempts, options)
        compression = channel.compression(gzip)
        self._channel = (
            grpc.insecure_channel(target, settings, compression)
            if credentials is None
            else grpc.secure_channel(target, credentials, settings, compression)
        )
        self._predict = self._method(wire.PREDICT, wire.PredictResponse)
        self._metadata = self._method(wire.GET_MODEL_METADATA, wire.GetModelMetadataResponse)
        self._status = self._method(wire.GET_MODEL_STATUS, wire.GetModelStatusResponse)

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
                numbers become float32 and int32; strings may be `str` or `bytes`.
            signature: which signature.
            version: which version; the newest that is available by default.
            label: a label that the server has for a version, instead of its number.
            output_filter: names of the outputs to compute; all by default.
            timeout: seconds for this call instead of the client's.

        Returns:
            Arrays by the names of the outputs; strings are `object` arrays of `bytes`.

        Raises:
            errors.ServingError: the server answered with an error, or not at all.
            ValueError: an input has a dtype that TensorFlow does not know.
        """
        request = calls.predict_request(model, inputs, signature, version, label, output_filter)
        return calls.predict_result(self._call(self._predict, request, timeout))

    def metadata(
        self,
        model: str,
        *,
        version: int | None = None,
        label: str | None = None,
        timeout: float | None = None,
    ) -> calls.ModelMetadata:
        """The signatures of a model: names, dtypes and shapes of inputs and outputs."""
        request = calls.metadata_request(model, version, label)
        return calls.metadata_result(self._call(self._metadata, request, timeout))

    def status(
        self, model: str, *, version: int | None = None, timeout: float | None = None
    ) -> list[calls.VersionStatus]:
        """The state of every version of a model that the server knows, newest first."""
        request = calls.status_request(model, version)
        return calls.status_result(self._call(self._status, request, timeout))

    def close(self) -> None:
        """Closes the connection; calls under way fail as `Cancelled`."""
        self._channel.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _method(self, path: str, response: Any) -> Any:
        return self._channel.unary_unary(
            path,
            request_serializer=lambda request: request.SerializeToString(),
            response_deserializer=response.FromString,
        )

    def _call(self, method: Any, request: Any, timeout: float | None) -> Any:
        seconds = self.timeout if timeout is None else timeout
        try:
            return method(request, timeout=seconds, wait_for_ready=self._wait_for_ready)
        except grpc.RpcError as error:
            raise channel.error_from_rpc(error, self.target) from None
