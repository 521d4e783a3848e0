"""The recurrent decoder whose every step may read a memory."""

from typing import Any, Self, Unpack

import keras
from keras import ops

from keras_attention._types import LayerOptions, Shape, Tensor
from keras_attention.decoding import with_repeated_memory
from keras_attention.layers import AttentionBase
from keras_attention.layers.attached_mask import mask_of
from keras_attention.layers.checked_call import CheckedCall
from keras_attention.layers.quantized_parts import QuantizedParts
from keras_attention.layers.unroll import pack, unroll
from keras_attention.models.embedding_table import embedding_table
from keras_attention.models.recurrent.recurrent_cells import (
    CELLS,
    STATES_PER_CELL,
    check_cell,
    check_layers,
)
from keras_attention.models.recurrent.step_noise import one_step, sample, steps_first
from keras_attention.models.recurrent.teacher_forcing import can_run_whole, run_whole
from keras_attention.models.token_embedding import embed_tokens
from keras_attention.ops.queries_per_memory import queries_per_memory

QUERIES = ("previous", "current")


@keras.saving.register_keras_serializable(package="keras_attention")
class RNNDecoder(CheckedCall, QuantizedParts, keras.layers.Layer):
    """Predicts the next token from those before it and from a memory.

    With s the hidden state of the top layer, x the embedded token and a memory:

        query="previous" (Bahdanau et al.)         query="current" (Luong et al.)
        c_t = attention(s_{t-1}, memory)           s_t = rnn(x_t, s_{t-1})
        s_t = rnn([x_t; c_t], s_{t-1})             c_t = attention(s_t, memory)

    and then `logits = V tanh(W [s_t; c_t])` in both; with `attention=None` there is no c_t, and all
    that is known of the source is the state before the first step: the bottleneck that attention
    was made for.

    Steps: `memory = prepare(memory, memory_mask)` and `state = initial_state(memory, state)`, then
    `logits, state, weights = step(token, state, memory)` for each token.

    Args:
        vocabulary_size: number of tokens.
        units: size of the state of one layer.
        embedding_dim: size of the embeddings.
        num_layers: number of recurrent layers.
        cell: `"gru"` or `"lstm"`.
        attention: an attention layer, or None. What a `StatefulAttention` remembers travels with
            the state, from step to step and with the hypotheses of a search.
        query: `"previous"` or `"current"`, the state that asks.
        dropout: fraction dropped of the embeddings and of what the logits are made of.
        tie_embeddings: whether the logits use the embeddings as V (Press and Wolf, 2017).

    Call arguments:
        target: int `(B, Tt)`, the tokens before those to predict, the start token first.
        memory: `(B, Tv, D)`.
        state: list over layers of lists of `(B, D')`, what the encoder ended with.
        memory_mask: boolean `(B, Tv)`, True = no padding.
        training: whether dropout, noise and soft alignments are active.

    Returns:
        Logits `(B, Tt, vocabulary_size)`.

    Reference: Bahdanau, Cho and Bengio, 2015, https://arxiv.org/abs/1409.0473, section A.2.2;
    Luong, Pham and Manning, 2015, https://arxiv.org/abs/1508.04025, equations 5 to 7.
    """

    def __init__(
        self,
        vocabulary_size: int,
        units: int,
        embedding_dim: int,
        num_layers: int = 1,
        cell: str = "gru",
        attention: Any = None,
        query: str = "previous",
        dropout: float = 0.0,
        tie_embeddings: bool = False,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        is_attention = isinstance(attention, AttentionBase) and attention.reads_memory
        if attention is not None and not is_attention:
            raise ValueError(
                "Expected attention to be None or a layer of this package that attends from one "
                f"sequence to another. Received: attention={attention!r}"
            )
        if query not in QUERIES:
            raise ValueError(f"Expected query to be one of {QUERIES}. Received: query={query!r}")
        self.vocabulary_size = vocabulary_size
        self.units = units
        self.embedding_dim = embedding_dim
        self.num_layers = check_layers(num_layers)
        self.cell = check_cell(cell)
        self.attention = attention
        self.query = query
        self.dropout = dropout
        self.tie_embeddings = tie_embeddings
        self.feeds_context = attention is not None and query == "previous"
        policy = self.dtype_policy
        self.embedding = keras.layers.Embedding(
            vocabulary_size, embedding_dim, dtype=policy, name="embedding"
        )
        self.bridges = [
            [
                keras.layers.Dense(
                    units, "tanh" if j == 0 else None, dtype=policy, name=f"bridge_{i}_{j}"
                )
                for j in range(STATES_PER_CELL[cell])
            ]
            for i in range(num_layers)
        ]
        # Keras before 3.13 saves no layer of a list in a list. Under the name by which later ones
        # save it, each inner list is an attribute, too: files have one layout, whatever wrote them.
        for i, layers in enumerate(self.bridges):
            setattr(self, f"bridges/container_{i}" if i else "bridges/container", layers)
        self.cells = keras.layers.StackedRNNCells(
            [CELLS[cell](units, dtype=policy, name=f"cell_{i}") for i in range(num_layers)],
            dtype=policy,
            name="cells",
        )
        self.embedding_dropout = keras.layers.Dropout(
            dropout, dtype=policy, name="embedding_dropout"
        )
        self.output_dropout = keras.layers.Dropout(dropout, dtype=policy, name="output_dropout")
        # Tied logits are products with embeddings, so their input has to be as wide.
        self.attention_vector = keras.layers.Dense(
            embedding_dim if tie_embeddings else units,
            "tanh",
            dtype=policy,
            name="attention_vector",
        )
        if not tie_embeddings:
            self.logits = keras.layers.Dense(vocabulary_size, dtype=policy, name="logits")

    def build(self, target_shape: Any, memory_shape: Any, state_shape: Any) -> None:
        batch, steps = target_shape
        self.embedding.build(target_shape)
        for layers, shapes in zip(self.bridges, state_shape, strict=True):
            for layer, shape in zip(layers, shapes, strict=True):
                layer.build(shape)
        context_dim = 0
        if self.attention is not None:
            query_shape = (batch, steps, self.units)
            if not self.attention.built:
                self.attention.build(query_shape, memory_shape)
                self.attention.built = True
            context_dim = self.attention.compute_output_shape(query_shape, memory_shape)[-1]
        self.context_dim = context_dim
        self.cells.build((batch, self.embedding_dim + context_dim * self.feeds_context))
        features = (batch, steps, self.units + context_dim)
        self.attention_vector.build(features)
        if self.tie_embeddings:
            self.output_bias = self.add_weight(
                name="output_bias", shape=(self.vocabulary_size,), initializer="zeros"
            )
        else:
            self.logits.build((batch, steps, self.units))

    def prepare(self, memory: Tensor, memory_mask: Tensor | None = None) -> Any:
        """Tensors that all steps of a search read: precomputed key, value, mask `(B, ..., Tv)`.

        Without `memory_mask` it is the mask that Keras attached to the memory.
        """
        prepared = self._project(memory, memory_mask)
        if self.attention is None:
            return prepared
        key, *rest = prepared
        return self.attention.precompute_key(key), *rest

    def initial_state(self, memory: Tensor, state: Any) -> Any:
        """The state before the first step: a flat list of tensors, those of the cells first.

        Args:
            memory: the result of `prepare`.
            state: what the encoder ended with.
        """
        return [*self._start_cells(state), *self._start_attention(memory)]

    def _project(self, memory: Tensor, memory_mask: Tensor) -> Any:
        if self.attention is not None:
            return self.attention.prepare(memory, memory_mask)
        return (mask_of(memory) if memory_mask is None else memory_mask,)

    def step(
        self, token: Tensor, state: Any, memory: Tensor, width: Any = None
    ) -> tuple[Any, Any, Any]:
        """One step of a search: see `keras_attention.decoding.StepFunction`.

        A search may follow W sequences for each memory: with `token (B W,)`, a state of as many
        rows, those of one memory side by side, and the memory untiled, the rows are W queries to
        each memory. The weights come out `(B W, Tv)`. In a graph where the size of the batch is not
        known, `width` tells W, and how many queries there are is known all the same.
        """
        x = self.embedding(token)
        cells, attended = self._parts(state)
        if self.feeds_context:
            hidden = self._top(cells)
            context, attended, weights = self._read_rows(hidden, attended, memory, width)
            hidden, cells = self._advance_cells(ops.concatenate([x, context], axis=-1), cells)
        else:
            hidden, cells = self._advance_cells(x, cells)
            context, attended, weights = self._read_rows(hidden, attended, memory, width)
        logits = self._logits(ops.concatenate([hidden, context], axis=-1))
        return logits, [*cells, *attended], weights

    def call(
        self,
        target: Tensor,
        memory: Tensor,
        state: Any,
        memory_mask: Tensor | None = None,
        training: bool | None = None,
    ) -> Any:
        x = self.embedding_dropout(embed_tokens(self.embedding, target), training=training)
        memory = self._project(memory, memory_mask)
        cells, draws = self._start_cells(state), (None, None)
        if self.attention is not None:
            draws = sample(self.attention, ops.shape(target)[1], memory[0], training)
        if can_run_whole(self) and draws == (None, None):
            features = run_whole(self, x, cells, memory)
        elif self.feeds_context:
            features = self._unroll(x, cells, memory, draws, training)
        else:
            # Nothing that is read goes back into the loop: all steps can read at once, after it.
            features, _ = unroll(self._advance_cells, x, cells)
            if self.attention is not None:
                context, _ = self.attention.attend(features, *memory, *draws, training)
                features = ops.concatenate([features, context], axis=-1)
        return self._logits(self.output_dropout(features, training=training))

    def compute_output_shape(
        self, target_shape: Any, memory_shape: Any = None, state_shape: Any = None
    ) -> Shape:
        return (*target_shape, self.vocabulary_size)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "vocabulary_size": self.vocabulary_size,
            "units": self.units,
            "embedding_dim": self.embedding_dim,
            "num_layers": self.num_layers,
            "cell": self.cell,
            "attention": keras.saving.serialize_keras_object(self.attention),
            "query": self.query,
            "dropout": self.dropout,
            "tie_embeddings": self.tie_embeddings,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        attention = keras.saving.deserialize_keras_object(config["attention"])
        return cls(**{**config, "attention": attention})

    def _num_states(self) -> Any:
        return self.num_layers * STATES_PER_CELL[self.cell]

    def _advance_cells(self, x: Tensor, state: Any) -> tuple[Any, Any]:
        count = STATES_PER_CELL[self.cell]
        nested = [list(state[i : i + count]) for i in range(0, len(state), count)]
        hidden, nested = self.cells(x, nested)
        return hidden, keras.tree.flatten(nested)

    def _start_cells(self, state: Any) -> Any:
        flat = []
        for layers, states in zip(self.bridges, state, strict=True):
            flat += [layer(x) for layer, x in zip(layers, states, strict=True)]
        return flat

    def _start_attention(self, memory: Tensor) -> Any:
        return [] if self.attention is None else self.attention.initial_state(memory)

    def _parts(self, state: Any) -> tuple[Any, Any]:
        """Split a state into that of the cells and that of the attention."""
        return state[: self._num_states()], state[self._num_states() :]

    def _top(self, cells: Any) -> Any:
        """The hidden state of the top layer."""
        return cells[-STATES_PER_CELL[self.cell]]

    def _read_rows(self, hidden: Tensor, attended: Any, memory: Tensor, width: Any) -> Any:
        """Context, new state and weights of `hidden (B W, H)`: W queries to each memory."""
        length = ops.shape(memory[-1])[-1]
        if self.attention is None:
            weights = ops.zeros((ops.shape(hidden)[0], length), self.compute_dtype)
            return hidden[:, :0], attended, weights
        if self.attention.is_stateful:
            # A step of one query each: several to one memory would be a sequence to it.
            return with_repeated_memory(self.attention.step)(hidden, attended, memory)
        query = queries_per_memory(hidden, memory[-1], width)
        if query.shape[1] == 1:
            context, attended, weights = self.attention.step(hidden, attended, memory)
            return context, attended, _mean_over_heads(weights, 2)
        context, weights = self.attention.attend(query, *memory)
        context = ops.reshape(context, (-1, context.shape[-1]))
        return context, attended, ops.reshape(_mean_over_heads(weights, 3), (-1, length))

    def _unroll(
        self, x: Tensor, cells: Any, memory: Tensor, draws: Any, training: bool | None
    ) -> Tensor:
        """Hidden states and contexts `(B, T, H + D)` of steps that read before they advance.

        Args:
            x: `(B, T, E)`, embedded tokens.
            cells: the state of the cells before the first step.
            memory: the result of `prepare`.
            draws: dropout mask and noise for all steps, each None where there is none.
            training: see the class.
        """
        state = [*cells, *self._start_attention(memory)]
        kinds = [keras.backend.standardize_dtype(part.dtype) for part in state]
        rows, unpack = pack([x, *(steps_first(drawn) for drawn in draws if drawn is not None)], x)

        def advance(row: Tensor, state: Any) -> tuple[Any, Any]:
            x, *drawn = unpack(row)
            left = iter(drawn)
            own = [None if y is None else one_step(next(left), y) for y in draws]
            # The loop carries all in one dtype, which is wide enough for what attention keeps.
            state = [ops.cast(part, kind) for part, kind in zip(state, kinds, strict=True)]
            cells, attended = self._parts(state)
            context, attended, _ = self.attention.step(
                self._top(cells), attended, memory, *own, training
            )
            hidden, cells = self._advance_cells(ops.concatenate([x, context], axis=-1), cells)
            features = ops.concatenate([hidden, context], axis=-1)
            following = [ops.cast(part, rows.dtype) for part in (*cells, *attended)]
            return ops.cast(features, rows.dtype), following

        features, _ = unroll(advance, rows, state)
        return ops.cast(features, self.compute_dtype)

    def _logits(self, features: Any) -> Tensor:
        vector = self.attention_vector(features)
        if not self.tie_embeddings:
            return self.logits(vector)
        table = ops.cast(embedding_table(self.embedding), vector.dtype)
        return ops.matmul(vector, ops.transpose(table)) + ops.cast(self.output_bias, vector.dtype)


def _mean_over_heads(weights: Tensor, rank: int) -> Any:
    """Weights of a layer with heads without that axis, so that they have the rank of all others."""
    return ops.mean(weights, axis=1) if len(weights.shape) > rank else weights
