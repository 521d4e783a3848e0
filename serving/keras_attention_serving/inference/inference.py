"""An inference: the run of a model that a request asks for, before it is made."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from keras_attention_serving.inference.model import Model
from keras_attention_serving.protocol.tensors import Array


class Inference(NamedTuple):
    """One run of a model, and the function that makes a response of its outputs.

    The caller decides where and when it is run: at once, in another thread, in a batch.

    Attributes:
        feeds: arrays by the name of the tensor that they are fed to.
        fetches: names of the tensors to compute.
        respond: makes the response message of the outputs; raises `errors.ServingError`.
    """

    feeds: Mapping[str, Array]
    fetches: Sequence[str]
    respond: Callable[[list[Array]], Any]

    def run(self, model: Model) -> Any:
        """Runs a model in the calling thread and returns the response."""
        return self.respond(model.run(self.feeds, self.fetches))
