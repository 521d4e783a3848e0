"""A Neural Turing Machine and a memory network as sequence-to-sequence models.

Neither paper has such a model; these make the two comparable with those of `side_by_side`.
"""

import keras
from keras import ops

import keras_attention as ka
from contrasts.experiment import END


class TuringMachine(ka.LanguageModel):
    """One `RNN(NTMCell)` over the source followed by the target.

    Args:
        vocabulary_size: number of tokens.
        units: of the controller, an LSTM, and of the embeddings.
        locations: rows of the memory, each of 20 numbers.
    """

    def __init__(self, vocabulary_size, units, locations=32, **kwargs):
        super().__init__(**kwargs)
        self.embedding = keras.layers.Embedding(vocabulary_size, units)
        cell = ka.NTMCell(keras.layers.LSTMCell(units), locations, width=20)
        self.rnn = keras.layers.RNN(cell, return_sequences=True, return_state=True)
        self.rnn_with_mask = ka.KeepMask(self.rnn)
        self.logits = keras.layers.Dense(vocabulary_size)

    def build(self, input_shape):
        units = self.embedding.output_dim
        self.embedding.build((None, None))
        self.rnn.build((None, None, units))
        self.logits.build((None, None, self.rnn.cell.output_size))

    def predict_next(self, tokens, training=None):
        features, *_ = self.rnn(self.embedding(tokens), training=training)
        return self.logits(features)

    def prepare_prompt(self, tokens, lengths, max_length):
        counts = ops.arange(ops.shape(tokens)[1]) < lengths[:, None]
        _, *state = self.rnn_with_mask(self.embedding(tokens), mask=counts)
        return state

    def step_token(self, token, state):
        features, state = self.rnn.cell(self.embedding(token), state)
        return self.logits(features), state


class StoryReader(ka.Seq2Seq):
    """Memory network whose sentences are the words of the source, after the end token.

    The question at step t is the number t; earlier target tokens are not an input.

    Args:
        vocabulary_size: number of tokens.
        units: of the embeddings.
        hops: how often the source is read for each word.
        most: steps of an answer and of a source at most.
    """

    def __init__(self, vocabulary_size, units, hops=3, most=32, **kwargs):
        super().__init__(**kwargs)
        self.first_number = vocabulary_size
        self.memory = ka.EndToEndMemory(vocabulary_size + most, units, hops, memory_size=most)

    def build(self, input_shape):
        self.memory.build((None, None, 1), (None, 1))

    def call(self, inputs, training=None):
        (story,) = self.prepare(inputs["source"])
        batch, steps = ops.shape(inputs["target"])
        numbers = ops.broadcast_to(ops.arange(steps, dtype="int32"), (batch, steps))
        repeated = ops.repeat(story, steps, axis=0)
        scores, _ = self._answer(ops.reshape(numbers, (-1,)), repeated)
        return ops.reshape(scores, (batch, steps, self.first_number))

    def prepare(self, source, source_mask=None, training=None):
        source = ops.cast(source, "int32")
        story = ops.pad(source, [[0, 0], [1, 0]], constant_values=END)
        return (story[..., None],)

    def initial_state(self, memory, max_length=100):
        return (ops.zeros_like(memory[0][:, 0, 0]),)

    def step(self, token, state, memory, width=None):
        (number,), (story,) = state, memory
        story = ops.repeat(story, ops.shape(number)[0] // ops.shape(story)[0], axis=0)
        scores, weights = self._answer(number, story)
        return scores, (number + 1,), weights

    def _answer(self, number, story):
        """Scores of all words, and the weights of the last hop."""
        question = (self.first_number + number)[:, None]
        scores, weights = self.memory(story, question, return_attention_scores=True)
        return scores[:, : self.first_number], weights[:, -1]
