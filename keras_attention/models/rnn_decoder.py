"""The recurrent decoder whose every step may read a memory."""

import inspect

import keras
from keras import ops

from keras_attention.models.cells import CELLS, STATES_PER_CELL, check_cell, check_layers

QUERIES = ("previous", "current")


@keras.saving.register_keras_serializable(package="keras_attention")
class RNNDecoder(keras.layers.Layer):
    """Predicts the next token from those before it and from a memory.

    With s the hidden state of the top layer, x the embedded token and a memory:

        query="previous" (Bahdanau et al.)         query="current" (Luong et al.)
        c_t = attention(s_{t-1}, memory)           s_t = rnn(x_t, s_{t-1})
        s_t = rnn([x_t; c_t], s_{t-1})             c_t = attention(s_t, memory)

    and then `logits = V tanh(W [s_t; c_t])` in both; with `attention=None` there is no c_t, and all
    that is known of the source is the state before the first step: the bottleneck that attention
    was made for.

    Args:
        vocabulary_size: number of tokens.
        units: size of the state of one layer.
        embedding_dim: size of the embeddings.
        num_layers: number of recurrent layers.
        cell: `"gru"` or `"lstm"`.
        attention: an attention layer, or None.
        query: `"previous"` or `"current"`, the state that asks.
        dropout: fraction dropped of the embeddings and of what the logits are made of.
        tie_embeddings: whether the logits use the embeddings as V (Press and Wolf, 2017).

    Call arguments:
        target: int `(B, Tt)`, the tokens before those to predict, the start token first.
        memory: `(B, Tv, D)`.
        state: list over layers of lists of `(B, D')`, what the encoder ended with.
        memory_mask: boolean `(B, Tv)`, True = no padding.
        training: whether dropout is active.

    Returns:
        Logits `(B, Tt, vocabulary_size)`.

    Reference: Bahdanau, Cho and Bengio, 2015, https://arxiv.org/abs/1409.0473, section A.2.2;
    Luong, Pham and Manning, 2015, https://arxiv.org/abs/1508.04025, equations 5 to 7.
    """

    def __init__(
        self,
        vocabulary_size,
        units,
        embedding_dim,
        num_layers=1,
        cell="gru",
        attention=None,
        query="previous",
        dropout=0.0,
        tie_embeddings=False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if attention is not None and not _reads_a_memory(attention):
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
        self.loop = keras.layers.RNN(
            _StepCell(self._advance, self._num_states(), dtype=policy),
            return_sequences=True,
            dtype=policy,
            name="loop",
        )

    def build(self, target_shape, memory_shape, state_shape):
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

    def start(self, state):
        """The state before the first step, from what the encoder ended with."""
        flat = []
        for layers, states in zip(self.bridges, state, strict=True):
            flat += [layer(x) for layer, x in zip(layers, states, strict=True)]
        return flat

    def prepare(self, memory, memory_mask=None):
        """What all steps read: projected key and value, and the mask `(B, ..., Tv)`."""
        if self.attention is not None:
            return self.attention.prepare(memory, memory_mask)
        return (ops.ones(ops.shape(memory)[:2], "bool") if memory_mask is None else memory_mask,)

    def step(self, token, state, memory):
        """One step of a search: see `keras_attention.decoding.StepFunction`."""
        x = self.embedding(token)
        if self.feeds_context:
            hidden = state[-STATES_PER_CELL[self.cell]]
            context, weights = self._read_together(hidden, memory)
            hidden, state = self._advance_cells(ops.concatenate([x, context], axis=-1), state)
        else:
            hidden, state = self._advance_cells(x, state)
            context, weights = self._read_together(hidden, memory)
        logits = self._logits(ops.concatenate([hidden, context], axis=-1))
        return logits, state, _one_row(weights)

    def call(self, target, memory, state, memory_mask=None, training=None):
        x = self.embedding_dropout(self.embedding(target), training=training)
        prepared = self.prepare(memory, memory_mask)
        dropout_mask = ()
        if training and self.attention is not None and self.attention.dropout > 0:
            steps = 1 if self.feeds_context else ops.shape(target)[1]
            # One mask for all steps of a loop, as for recurrent dropout in Keras.
            dropout_mask = (self.attention.sample_dropout(steps, prepared[0]),)
        if self.feeds_context:
            initial_state = [*self.start(state), *prepared, *dropout_mask]
            features = self.loop(x, initial_state=initial_state)
        else:
            # Nothing that is read goes back into the loop: all steps can read at once, after it.
            hidden = self.loop(x, initial_state=self.start(state))
            context, _ = self._read(hidden, prepared, *dropout_mask)
            features = ops.concatenate([hidden, context], axis=-1)
        return self._logits(self.output_dropout(features, training=training))

    def compute_output_shape(self, target_shape, memory_shape=None, state_shape=None):
        return (*target_shape, self.vocabulary_size)

    def get_config(self):
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
    def from_config(cls, config):
        attention = keras.saving.deserialize_keras_object(config["attention"])
        return cls(**{**config, "attention": attention})

    def _num_states(self):
        return self.num_layers * STATES_PER_CELL[self.cell]

    def _advance_cells(self, x, state):
        count = STATES_PER_CELL[self.cell]
        nested = [list(state[i : i + count]) for i in range(0, len(state), count)]
        hidden, nested = self.cells(x, nested)
        return hidden, keras.tree.flatten(nested)

    def _read(self, query, memory, dropout_mask=None):
        """Context `(B, Tq, Dv)` and weights; without attention an empty context, weights 0."""
        if self.attention is None:
            (mask,) = memory
            shape = (*ops.shape(query)[:2], ops.shape(mask)[1])
            return query[..., :0], ops.zeros(shape, dtype=self.compute_dtype)
        key, value, mask = memory
        return self.attention.attend(query, key, value, mask, dropout_mask)

    def _read_together(self, hidden, memory):
        """One query of each row `(B * W, D)`, those that share a memory asking it together."""
        queries = ops.reshape(hidden, (ops.shape(memory[0])[0], -1, hidden.shape[-1]))
        context, weights = self._read(queries, memory)
        return ops.reshape(context, (ops.shape(hidden)[0], context.shape[-1])), weights

    def _read_and_advance(self, x, state, memory, dropout_mask=None):
        hidden = state[-STATES_PER_CELL[self.cell]]
        context, _ = self._read(hidden[:, None], memory, dropout_mask)
        context = context[:, 0]
        hidden, state = self._advance_cells(ops.concatenate([x, context], axis=-1), state)
        return hidden, context, state

    def _advance(self, x, states):
        """A step of the training loop. What it reads travels with the states."""
        count = self._num_states()
        state, rest = states[:count], states[count:]
        if not self.feeds_context:
            return self._advance_cells(x, state)
        key, value, mask, *dropout_mask = rest
        # Keras' loop casts all states to floats.
        memory = (key, value, ops.cast(mask, "bool"))
        hidden, context, state = self._read_and_advance(x, state, memory, *dropout_mask)
        return ops.concatenate([hidden, context], axis=-1), [*state, *rest]

    def _logits(self, features):
        vector = self.attention_vector(features)
        if not self.tie_embeddings:
            return self.logits(vector)
        table = ops.cast(self.embedding.embeddings, vector.dtype)
        return ops.matmul(vector, ops.transpose(table)) + ops.cast(self.output_bias, vector.dtype)


def _reads_a_memory(attention):
    """Whether it is an attention layer whose call takes a value apart from the query."""
    takes = inspect.signature(attention.call).parameters if hasattr(attention, "attend") else ()
    return "value" in takes


def _one_row(weights):
    """The weights `(B * W, Tv)` of W queries; the mean over heads where there are any."""
    weights = ops.mean(weights, axis=1) if len(weights.shape) == 4 else weights
    batch, width, steps = ops.shape(weights)
    return ops.reshape(weights, (batch * width, steps))


@keras.saving.register_keras_serializable(package="keras_attention")
class _StepCell(keras.layers.Layer):
    """Lets `keras.layers.RNN` run a function of inputs and states; owns no weights."""

    def __init__(self, step, num_states, **kwargs):
        super().__init__(**kwargs)
        self._step = step
        # `RNN` wants sizes, but uses them only where no initial state is given.
        self.state_size = [1] * num_states

    def build(self, inputs_shape):
        pass

    def call(self, inputs, states):
        return self._step(inputs, states)
