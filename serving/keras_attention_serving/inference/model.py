"""Interface of a loaded model for the methods of the service, and what the methods share."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from keras_attention_serving import errors
from keras_attention_serving.protocol import wire
from keras_attention_serving.protocol.tensors import Array

PREDICT_METHOD = "tensorflow/serving/predict"
CLASSIFY_METHOD = "tensorflow/serving/classify"
REGRESS_METHOD = "tensorflow/serving/regress"


class Model(Protocol):
    """A loaded model, such as `runtime.SavedModel`."""

    @property
    def platform(self) -> str:
        """Framework and format, as the Open Inference Protocol names them."""

    @property
    def signatures(self) -> Mapping[str, wire.SignatureDef]:
        """`SignatureDef` messages by name."""

    def run(
        self, feeds: Mapping[str, Array], fetches: Sequence[str], timeout: float | None = None
    ) -> list[Array]:
        """Computes tensors of the graph; see `SavedModel.run`."""

    def is_quick(self, feeds: Mapping[str, Array], fetches: Sequence[str]) -> bool:
        """True if a run is known to take less time than handing it to another thread.

        Args:
            feeds: arrays by the name of the tensor that they are fed to.
            fetches: names of the tensors to compute.
        """


class LoadedModel(Model, Protocol):
    """A model with memory of its own."""

    def close(self) -> None:
        """Frees the model; may not overlap with `run`."""


def signature_name(spec: wire.ModelSpec) -> str:
    """The name of the signature in a `ModelSpec`, `serving_default` if it is empty."""
    name: str = spec.signature_name or wire.DEFAULT_SIGNATURE
    return name


def set_model_spec(spec: wire.ModelSpec, request: Any, version: int) -> None:
    """Fills the `ModelSpec` of a response to a request's."""
    spec.name = request.name
    spec.version.value = version
    spec.signature_name = signature_name(request)


def find_signature(model: Model, spec: wire.ModelSpec) -> wire.SignatureDef:
    """The signature for Classify or Regress; raises `errors.InvalidArgument`."""
    name = signature_name(spec)
    if name not in model.signatures:
        raise errors.InvalidArgument(f"No signature was found with the name: {name}")
    return model.signatures[name]


def shape_text(array: Array) -> str:
    """A shape as TensorFlow writes it: `[2,3]`."""
    return f"[{','.join(map(str, array.shape))}]"


def type_name(number: int) -> str:
    """The name of a `DataType`: `"DT_FLOAT"`."""
    name: str = wire.DataType.values_by_number[number].name
    return name
