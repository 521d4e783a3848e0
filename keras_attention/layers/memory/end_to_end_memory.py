"""A memory of sentences that a question is put to several times."""

from typing import Any, Unpack

import keras
from keras import ops

from keras_attention._token_ids import check_token_ids, spoil
from keras_attention._types import LayerOptions, Shape, Tensor
from keras_attention.layers.checked_call import CheckedCall
from keras_attention.layers.validation import check_positive
from keras_attention.ops import masked_softmax
from keras_attention.ops.position_encoding import encode_sentences
from keras_attention.ops.precision import at_least_float32

TYINGS = ("adjacent", "layer_wise")


@keras.saving.register_keras_serializable(package="keras_attention")
class EndToEndMemory(CheckedCall, keras.layers.Layer):
    """Scores of all words as answer to a question about a story.

    Each sentence x_i has a vector to be found by and one to be read, and so has the question. Hop k
    of K finds and reads, and what was read changes the question:

    ```
    m_i = sum_j l_j * A_k x_ij + T_k(i)       c_i = sum_j l_j * C_k x_ij + T'_k(i)
    p_i = softmax(u . m_i)    o = sum_i p_i c_i    u <- u + o
    scores = W u
    ```

    with `l_j` the position encoding of word j and T a learned vector for the place of a sentence,
    counted back from the last. The tables are tied:

    - `"adjacent"`: `A_{k+1} = C_k`, the question is embedded by `A_1`, and `W` is `C_K`;
    - `"layer_wise"`: all hops share A and C, and `u <- H u + o`; question and `W` have their own.

    Masking: word 0 is padding, and a sentence of nothing else is no sentence: it has weight 0 and
    does not count as a place, wherever it stands. A story without sentences is answered from the
    question alone.

    Example:

    ```python
    story = np.array([[[3, 7, 9], [4, 7, 8]], [[5, 7, 8], [0, 0, 0]]])
    question = np.array([[6, 3, 0], [6, 5, 0]])
    memory = EndToEndMemory(vocabulary_size=11, units=20, hops=3)
    scores, weights = memory(story, question, return_attention_scores=True)
    assert scores.shape == (2, 11) and weights.shape == (2, 3, 2)
    ```

    Args:
        vocabulary_size: number of words, with the padding, V.
        units: size of all vectors, D.
        hops: how often the story is read, K.
        memory_size: how many of the last sentences are seen at most.
        tying: `"adjacent"` or `"layer_wise"`.
        position_encoding: whether the order of words counts.
        temporal_encoding: whether the order of sentences counts.
        time_jitter: probability of an empty place after each sentence in training, which keeps the
            places from being learned by heart.
        seed: integer that makes the jitter repeatable, or None.

    Call arguments:
        story: int `(B, S, W)`.
        question: int `(B, Wq)`.
        return_attention_scores: whether to return the weights of the hops, too.
        training: whether the places are jittered.

    Returns:
        Scores `(B, V)`; then, if asked for, weights `(B, hops, S)`.

    Raises:
        ValueError: a size is not positive; unknown `tying`; `time_jitter` is out of range; an input
            of another rank.

    Reference: Sukhbaatar et al., 2015, https://arxiv.org/abs/1503.08895, sections 2 and 4.1.
    """

    def __init__(
        self,
        vocabulary_size: int,
        units: int = 20,
        hops: int = 3,
        memory_size: int = 50,
        tying: str = "adjacent",
        position_encoding: bool = True,
        temporal_encoding: bool = True,
        time_jitter: float = 0.0,
        seed: int | None = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        self.vocabulary_size = check_positive(vocabulary_size=vocabulary_size)
        self.units = check_positive(units=units)
        self.hops = check_positive(hops=hops)
        self.memory_size = check_positive(memory_size=memory_size)
        if tying not in TYINGS:
            raise ValueError(f"Expected tying to be one of {TYINGS}. Received: tying={tying!r}")
        if not 0 <= time_jitter < 1:
            raise ValueError(f"Expected 0 <= time_jitter < 1. Received: time_jitter={time_jitter}")
        self.tying = tying
        self.position_encoding = position_encoding
        self.temporal_encoding = temporal_encoding
        self.time_jitter = time_jitter
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def build(self, story_shape: Shape, question_shape: Shape) -> None:
        self._check_rank("story", story_shape, 3)
        self._check_rank("question", question_shape, 2)
        adjacent = self.tying == "adjacent"
        # All tables side by side: one look-up for each word. Adjacent: A_1, C_1, ..., C_K.
        tables = self.hops + 1 if adjacent else 2
        normal = keras.initializers.RandomNormal(stddev=0.1)
        self.embeddings = self.add_weight(
            shape=(self.vocabulary_size, tables * self.units), initializer=normal, name="embeddings"
        )
        if self.temporal_encoding:
            self.places = self.add_weight(
                shape=(self.memory_size, tables * self.units), initializer=normal, name="places"
            )
        if not adjacent:
            shape = (self.vocabulary_size, self.units)
            self.question_table = self.add_weight(shape=shape, initializer=normal, name="question")
            self.answer_table = self.add_weight(shape=shape, initializer=normal, name="answer")
            self.hop_kernel = self.add_weight(
                shape=(self.units, self.units), initializer=normal, name="hop_kernel"
            )
        # 1 while training starts without the softmax; see `models.LinearStart`.
        self.linear = self.add_weight(shape=(), initializer="zeros", trainable=False, name="linear")

    def call(
        self,
        story: Tensor,
        question: Tensor,
        return_attention_scores: bool = False,
        training: bool | None = None,
    ) -> Any:
        self._check_rank("story", story.shape, 3)
        self._check_rank("question", question.shape, 2)
        story, no_word = check_token_ids(story, self.vocabulary_size, name="story")
        question, none_asked = check_token_ids(question, self.vocabulary_size, name="question")
        words = ops.not_equal(story, 0)
        mask = ops.any(words, axis=-1)
        sentences = self._encode(self.embeddings, story, words, no_word)
        age = self._age(mask, training)
        mask = ops.logical_and(mask, age < self.memory_size)
        if self.temporal_encoding:
            place = ops.take(self.places, ops.clip(age, 0, self.memory_size - 1), axis=0)
            sentences = sentences + ops.cast(place, sentences.dtype)
        sentences = ops.where(ops.expand_dims(mask, -1), sentences, 0)
        parts = ops.split(sentences, sentences.shape[-1] // self.units, axis=-1)
        first_table = ops.convert_to_tensor(self.embeddings)[:, : self.units]
        adjacent = self.tying == "adjacent"
        table = first_table if adjacent else self.question_table
        state = self._encode(table, question, ops.not_equal(question, 0), none_asked)
        all_weights = []
        for hop in range(self.hops):
            found_by, read_as = parts[hop : hop + 2] if adjacent else parts
            weights = self._weigh(ops.matmul(found_by, ops.expand_dims(state, -1))[..., 0], mask)
            read = ops.matmul(ops.expand_dims(ops.cast(weights, read_as.dtype), 1), read_as)[:, 0]
            state = (state if adjacent else ops.matmul(state, self.hop_kernel)) + read
            all_weights.append(weights)
        if adjacent:
            answers = ops.convert_to_tensor(self.embeddings)[:, -self.units :]
        else:
            answers = self.answer_table
        scores = ops.matmul(state, ops.transpose(ops.cast(answers, state.dtype)))
        if not return_attention_scores:
            return scores
        return scores, ops.cast(ops.stack(all_weights, axis=1), self.compute_dtype)

    def compute_output_shape(self, story_shape: Shape, question_shape: Shape) -> Shape:
        return (story_shape[0], self.vocabulary_size)

    def compute_output_spec(
        self,
        story: Tensor,
        question: Tensor,
        return_attention_scores: bool = False,
        training: bool | None = None,
    ) -> Any:
        self._check_rank("story", story.shape, 3)
        self._check_rank("question", question.shape, 2)
        shape = self.compute_output_shape(story.shape, question.shape)
        scores = keras.KerasTensor(shape, dtype=self.compute_dtype)
        if not return_attention_scores:
            return scores
        shape = (story.shape[0], self.hops, story.shape[1])
        return scores, keras.KerasTensor(shape, dtype=self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "vocabulary_size": self.vocabulary_size,
            "units": self.units,
            "hops": self.hops,
            "memory_size": self.memory_size,
            "tying": self.tying,
            "position_encoding": self.position_encoding,
            "temporal_encoding": self.temporal_encoding,
            "time_jitter": self.time_jitter,
            "seed": self.seed,
        }

    def _encode(self, table: Tensor, words: Any, mask: Tensor, outside: Any) -> Any:
        vectors = ops.cast(spoil(ops.take(table, words, axis=0), outside), self.compute_dtype)
        return encode_sentences(
            vectors, mask, self.position_encoding, vectors.shape[-1] // self.units
        )

    def _age(self, mask: Tensor, training: bool | None) -> Any:
        """Age of each sentence: int `(B, S)`, 0 for the last."""
        places = ops.cast(mask, "int32")
        after = ops.flip(ops.cumsum(ops.flip(places, axis=1), axis=1), axis=1) - places
        if training and self.time_jitter:
            drawn = keras.random.uniform(ops.shape(mask), seed=self.seed_generator)
            empty = places * ops.cast(drawn < self.time_jitter, "int32")
            after = after + ops.flip(ops.cumsum(ops.flip(empty, axis=1), axis=1), axis=1)
        return after

    def _weigh(self, scores: Tensor, mask: Tensor) -> Tensor:
        scores = ops.cast(scores, at_least_float32(scores.dtype))
        weights = masked_softmax(scores, mask)
        return ops.where(self.linear > 0, ops.where(mask, scores, 0.0), weights)

    def _check_rank(self, name: str, shape: Shape, rank: int) -> None:
        if len(shape) != rank:
            raise ValueError(
                f"Expected {name} of rank {rank}, word numbers. "
                f"Received: {name}.shape={tuple(shape)}"
            )
