"""The asyncio client: the calls of `client.py`, awaited."""

import asyncio
import time
from collections.abc import Iterable, Mapping
from contextlib import nullcontext, suppress
from typing import Any

import grpc
import grpc.aio
from numpy.typing import ArrayLike

from keras_attention_serving.client import channel, messages
from keras_attention_serving.errors import ServingError
from keras_attention_serving.protocol import wire
from keras_attention_serving.protocol.tensors import Array


class AsyncClient:
    """Asyncio client of a model server, for one event loop; calls may overlap freely.

        async with AsyncClient("localhost:8500") as client:
            answer = await client.predict("date_normalizer", {"text": ["3 May 2021"]})

    Arguments, results and errors are those of `Client`, and

    Args:
        max_pending_calls: number of calls that may be under way; further ones wait in the client,
            and their timeout begins when they are sent. None is no limit.
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
        max_pending_calls: int | None = None,
    ) -> None:
        self.target = target
        self.timeout = channel.deadline(timeout)
        self._limit = channel.count("max_claimed_output_bytes", max_claimed_output_bytes, 0)
        places = channel.count("max_pending_calls", max_pending_calls, 1)
        self._places = nullcontext() if places is None else asyncio.Semaphore(places)
        self._closed = False
        # Results of `metadata`, by model, version and label.
        self._known: dict[tuple[str, int | None, str | None], messages.ModelMetadata] = {}
        self._wait_for_ready = wait_for_ready
        settings = channel.options(attempts, options)
        self._attempts = int(attempts)
        compression = channel.compression(gzip)
        self._channel = (
            grpc.aio.insecure_channel(target, settings, compression)
            if credentials is None
            else grpc.aio.secure_channel(target, credentials, settings, compression)
        )
        self._predict = self._method(wire.PREDICT)
        self._metadata = self._method(wire.GET_MODEL_METADATA)
        self._status = self._method(wire.GET_MODEL_STATUS)

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
        known = self._known.get((model, version, label))
        request = messages.predict_request(
            model, inputs, signature, version, label, output_filter, known
        )
        response = await self._call(self._predict, wire.PredictResponse, request, timeout)
        result = messages.predict_result(response, self._limit)
        if known is not None and messages.is_outdated(known, response):
            with suppress(ServingError):  # this call has its answer
                await self.metadata(model, version=version, label=label, timeout=timeout)
        return result

    async def metadata(
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
        response = await self._call(self._metadata, wire.GetModelMetadataResponse, request, timeout)
        result = messages.metadata_result(response)
        self._known[model, version, label] = result
        return result

    async def status(
        self, model: str, *, version: int | None = None, timeout: float | None = None
    ) -> list[messages.VersionStatus]:
        """The state of every version of a model that the server knows, newest first."""
        request = messages.status_request(model, version)
        response = await self._call(self._status, wire.GetModelStatusResponse, request, timeout)
        return messages.status_result(response)

    async def close(self) -> None:
        """Closes the connection; calls under way and later ones fail as `Cancelled`."""
        self._closed = True
        await self._channel.close()

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    def _method(self, path: str) -> Any:
        # Responses are parsed here: gRPC would log a malformed one, or return None for it.
        return self._channel.unary_unary(
            path, request_serializer=lambda request: request.SerializeToString()
        )

    async def _call(self, method: Any, kind: Any, request: Any, timeout: float | None) -> Any:
        seconds = self.timeout if timeout is None else channel.deadline(timeout)
        async with self._places:
            if self._closed:
                raise channel.closed(self.target)
            until, tried = time.monotonic() + seconds, 0
            while True:
                try:
                    data = await method(
                        request, timeout=seconds, wait_for_ready=self._wait_for_ready
                    )
                    return messages.parse(kind, data)
                except grpc.RpcError as error:
                    tried += 1
                    seconds = until - time.monotonic()
                    pause = channel.pause(error, tried, self._attempts, seconds)
                    if pause is None:
                        raise channel.error_from_rpc(error, self.target) from None
                except asyncio.CancelledError:  # gRPC raises it, too, for calls on a closed channel
                    task = asyncio.current_task()
                    if not self._closed or task is None or task.cancelling():
                        raise
                    raise channel.closed(self.target) from None
                await asyncio.sleep(pause)
                seconds -= pause
                if self._closed:
                    raise channel.closed(self.target)
