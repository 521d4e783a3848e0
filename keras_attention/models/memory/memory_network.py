"""The end-to-end memory network: a story and a question in, an answer out."""

import inspect
import operator
from typing import Any, Self

import keras

from keras_attention._types import Tensor
from keras_attention.layers import EndToEndMemory
from keras_attention.models.argument_attributes import ArgumentAttributes


@keras.saving.register_keras_serializable(package="keras_attention")
class MemoryNetwork(ArgumentAttributes, keras.Model):
    """Answers a question about a story with one word, and shows what each hop looked at.

    A functional model: `keras_attention.export` writes it with the names of its inputs and outputs.
    Loss and metrics are those of the answer alone.

    Masking: word 0 is padding, a sentence of nothing else is no sentence; see `EndToEndMemory`.

    Example:

    ```python
    inputs = {
        "story": np.array([[[3, 7, 9], [4, 7, 8]], [[5, 7, 8], [0, 0, 0]]]),
        "question": np.array([[6, 3, 0], [6, 5, 0]]),
    }
    model = MemoryNetwork(vocabulary_size=11, units=20, hops=3)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(inputs, np.array([9, 8]), verbose=0)
    assert model(inputs)["attention"].shape == (2, 3, 2)
    ```

    Args:
        vocabulary_size: number of words, with the padding, V.
        **arguments: those of `EndToEndMemory`: `units`, `hops`, `memory_size`, `tying`,
            `position_encoding`, `temporal_encoding`, `time_jitter`, `seed`, `dtype`.

    Call arguments:
        inputs: dict of `story`, int `(B, S, W)`, and `question`, int `(B, Wq)`.
        training: whether the places of sentences are jittered.

    Returns:
        dict of `answer`, the probability of each word `(B, V)`, and `attention`, the weights of
        the hops `(B, hops, S)`.

    Raises:
        ValueError: see `EndToEndMemory`.

    Reference: Sukhbaatar, Szlam, Weston and Fergus, 2015, https://arxiv.org/abs/1503.08895.
    """

    argument_parts = {
        name: operator.attrgetter(f"memory.{name}")
        for name in inspect.signature(EndToEndMemory.__init__).parameters
        if name not in ("self", "kwargs")
    }

    def __init__(
        self,
        vocabulary_size: int,
        name: str | None = None,
        trainable: bool = True,
        dtype: str | None = None,
        **arguments: Any,
    ) -> None:
        story = keras.Input((None, None), dtype="int32", name="story")
        question = keras.Input((None,), dtype="int32", name="question")
        memory = EndToEndMemory(vocabulary_size, **arguments, dtype=dtype, name="memory")
        scores, attention = memory(story, question, return_attention_scores=True)
        answer = keras.layers.Softmax(dtype="float32", name="answer")(scores)
        super().__init__(
            inputs={"story": story, "question": question},
            outputs={"answer": answer, "attention": attention},
            name=name,
        )
        self.trainable = trainable
        self.memory = memory

    def compute_loss(
        self,
        x: Any = None,
        y: Tensor | None = None,
        y_pred: Any = None,
        sample_weight: Tensor | None = None,
        training: bool = True,
    ) -> Any:
        """The compiled loss of the answer."""
        return super().compute_loss(x, y, y_pred["answer"], sample_weight, training)

    def compute_metrics(
        self, x: Tensor, y: Tensor, y_pred: Any, sample_weight: Tensor | None = None
    ) -> Any:
        """The compiled metrics of the answer."""
        return super().compute_metrics(x, y, y_pred["answer"], sample_weight)

    def get_config(self) -> dict[str, Any]:
        config = self.memory.get_config()
        return {**config, "name": self.name, "trainable": self.trainable}

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None
    ) -> Self:
        dtype = keras.dtype_policies.deserialize(config["dtype"])
        return cls(**{**config, "dtype": dtype})
