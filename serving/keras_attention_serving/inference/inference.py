"""What a request asks of a model, before it is run."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from keras_attention_serving.inference.model import Model
from keras_attention_serving.protocol.tensors import Array


class Inference(NamedTuple):
    """One run of a model, and how the response is made of what comes out.

    Whoever has one decides where and when it is run: at once, in another thread, in a batch.

    Attributes:
        feeds: arrays by the name of the tensor they stand for.
        fetches: names of the tensors to compute.
        respond: makes the response message of these; raises `errors.ServingError`.
    """

    feeds: Mapping[str, Array]
    fetches: Sequence[str]
    respond: Callable[[list[Array]], Any]

    def answer(self, model: Model) -> Any:
        """The response of a model, run here and now."""
        return self.respond(model.run(self.feeds, self.fetches))
