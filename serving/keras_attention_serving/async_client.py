"""The client of `client.py` for asyncio: the same calls, awaited."""

from collections.abc import Iterable, Mapping
from typing import Any

import grpc
import grpc.aio
from numpy.typing import ArrayLike

from keras_attention_serving import calls, channel, wire
from keras_attention_serving.tensors import Array


class AsyncClient:
    """Asks models on a server from one event loop; calls may overlap freely.

        async with AsyncClient("localhost:8500") as client:
            answer = await client.predict("date_normalizer", {"text": ["3 May 2021"]})

    Arguments, results and errors are those of `Client`.
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
            grpc.aio.insecure_channel(target, settings, compression)
            if credentials is None
            else grpc.aio.secure_channel(target, credentials, settings, compression)
        )
        self._predict = self._method(wire.PREDICT, wire.PredictResponse)
        self._metadata = self._method(wire.GET_MODEL_METADATA, wire.GetModelMetadataResponse)
        self._status = self._method(wire.GET_MODEL_STATUS, wire.GetModelStatusResponse)

    async def predict(
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
        """Runs one signature of a model; see `Client.predict`."""
        request = calls.predict_request(model, inputs, signature, version, label, output_filter)
        return calls.predict_result(await self._call(self._predict, request, timeout))

    async def metadata(
        self,
        model: str,
        *,
        version: int | None = None,
        label: str | None = None,
        timeout: float | None = None,
    ) -> calls.ModelMetadata:
        """The signatures of a model: names, dtypes and shapes of inputs and outputs."""
        request = calls.metadata_request(model, version, label)
        return calls.metadata_result(await self._call(self._metadata, request, timeout))

    async def status(
        self, model: str, *, version: int | None = None, timeout: float | None = None
    ) -> list[calls.VersionStatus]:
        """The state of every version of a model that the server knows, newest first."""
        request = calls.status_request(model, version)
        return calls.status_result(await self._call(self._status, request, timeout))

    async def close(self) -> None:
        """Closes the connection; calls under way fail as `Cancelled`."""
        await self._channel.close()

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    def _method(self, path: str, response: Any) -> Any:
        return self._channel.unary_unary(
            path,
            request_serializer=lambda request: request.SerializeToString(),
            response_deserializer=response.FromString,
        )

    async def _call(self, method: Any, request: Any, timeout: float | None) -> Any:
        seconds = self.timeout if timeout is None else timeout
        try:
            return await method(request, timeout=seconds, wait_for_ready=self._wait_for_ready)
        except grpc.RpcError as error:
            raise channel.error_from_rpc(error, self.target) from None
