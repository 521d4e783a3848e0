"""Worker: the decoder of `decoder_ours.py` with TensorFlow Addons, in an environment of its own.

    python benchmarks/decoder_tfa.py SIZES_AS_JSON      (TensorFlow 2.15, tensorflow-addons 0.23)

The same function of the same weights: `AttentionWrapper` attends after its cell, so the context
that it feeds to the next step is the one that `RNNDecoder` reads before it.
"""

import functools
import itertools
import json
import sys

import numpy as np
import tensorflow as tf
import tensorflow_addons as tfa
from side_by_side import serve

SIZES = json.loads(sys.argv[1])
BATCH, SOURCE, TARGET = SIZES["batch"], SIZES["source"], SIZES["target"]
UNITS, VOCABULARY = SIZES["units"], SIZES["vocabulary"]
BEAM = SIZES["beam"]
START, NO_END = 2, -1

SEARCHES = ("greedy", "beam")


class Cell(tf.keras.layers.Layer):
    """A GRU that also returns the context it was fed, which the logits are made of too."""

    def __init__(self):
        super().__init__()
        self.gru = tf.keras.layers.GRUCell(UNITS)
        self.state_size, self.output_size = UNITS, 2 * UNITS

    def call(self, inputs, states):
        hidden, states = self.gru(inputs, states)
        return tf.concat([hidden, inputs[:, UNITS:]], axis=-1), states

    def get_initial_state(self, inputs=None, batch_size=None, dtype=None):
        return tf.zeros((batch_size, UNITS), dtype)


def attend(mechanism, output, state, layer):
    """For `attention_fn`: the query is the state, without the context beside it."""
    alignments, state = mechanism([output[:, :UNITS], state])
    return tf.matmul(alignments[:, None], mechanism.values)[:, 0], alignments, state


class Decoder(tf.Module):
    def __init__(self, weights):
        self.embedding = tf.Variable(weights["embedding"])
        self.bridge = tf.keras.layers.Dense(UNITS, "tanh")
        self.mechanism = tfa.seq2seq.BahdanauAttention(UNITS)
        self.wrapper = tfa.seq2seq.AttentionWrapper(
            Cell(), self.mechanism, attention_fn=attend, output_attention=False
        )
        self.head = tf.keras.Sequential(
            [tf.keras.layers.Dense(UNITS, "tanh"), tf.keras.layers.Dense(VOCABULARY)]
        )
        self.teacher = tfa.seq2seq.BasicDecoder(self.wrapper, tfa.seq2seq.TrainingSampler())
        self.greedy = tfa.seq2seq.BasicDecoder(
            self.wrapper,
            tfa.seq2seq.GreedyEmbeddingSampler(lambda ids: tf.gather(self.embedding, ids)),
            output_layer=self.head,
            maximum_iterations=TARGET,
        )
        self.beams = tfa.seq2seq.BeamSearchDecoder(
            self.wrapper,
            BEAM,
            embedding_fn=lambda ids: tf.gather(self.embedding, ids),
            output_layer=self.head,
            maximum_iterations=TARGET,
        )
        first = [tf.zeros(shape) for shape in ((1, SOURCE, UNITS), (1, UNITS))]
        self.train_logits(tf.zeros((1, TARGET), tf.int32), *first)
        self.set(weights)

    def set(self, weights):
        gru = self.wrapper._cell.gru
        self.embedding.assign(weights["embedding"])
        self.bridge.set_weights([weights["bridge_kernel"], weights["bridge_bias"]])
        gru.set_weights([weights["kernel"], weights["recurrent_kernel"], weights["bias"]])
        self.mechanism.query_layer.set_weights([weights["query"]])
        self.mechanism.memory_layer.set_weights([weights["key"]])
        self.mechanism.attention_v.assign(weights["v"])
        self.head.layers[0].set_weights([weights["vector_kernel"], weights["vector_bias"]])
        self.head.layers[1].set_weights([weights["logits_kernel"], weights["logits_bias"]])

    def start(self, memory, state):
        """The state of the wrapper, with the context that its first step is fed."""
        self.mechanism.setup_memory(memory)
        hidden = self.bridge(state)
        size = memory.shape[0]
        empty = self.wrapper.get_initial_state(batch_size=size, dtype=tf.float32)
        output = tf.concat([hidden, tf.zeros_like(hidden)], axis=-1)
        context, _, _ = attend(self.mechanism, output, empty.attention_state, None)
        return empty.clone(cell_state=hidden, attention=context)

    def train_logits(self, target, memory, state):
        # The head after the loop: one product for all steps, which is to the benefit of the peer.
        outputs, _, _ = self.teacher(
            tf.gather(self.embedding, target),
            initial_state=self.start(memory, state),
            sequence_length=tf.fill([target.shape[0]], target.shape[1]),
        )
        return self.head(outputs.rnn_output)

    def greedy_ids(self, memory, state):
        """`(B, L)`."""
        outputs, _, _ = self.greedy(
            None,
            start_tokens=tf.fill([memory.shape[0]], START),
            end_token=NO_END,
            initial_state=self.start(memory, state),
        )
        return outputs.sample_id

    def beam_ids(self, memory, state):
        """`(B, W, L)`, the best first; every example W times, as its documentation has it."""
        outputs, _, _ = self.beams(
            None,
            start_tokens=tf.fill([memory.shape[0]], START),
            end_token=NO_END,
            initial_state=self.start(*(tfa.seq2seq.tile_batch(x, BEAM) for x in (memory, state))),
        )
        return tf.transpose(outputs.predicted_ids, (0, 2, 1))


def main():
    tf.config.threading.set_inter_op_parallelism_threads(2)
    tf.config.threading.set_intra_op_parallelism_threads(2)
    made = {}

    def setup(inputs):
        """Weights and data, which every other function uses."""
        made["weights"] = {k: v for k, v in inputs.items() if "/" not in k}
        made["decoder"] = Decoder(made["weights"])
        for key, value in inputs.items():
            if "/" in key:
                made[key] = tf.constant(value)
        made["step"] = train_step(made["decoder"], made)
        for name, size in itertools.product(SEARCHES, (1, BATCH)):
            search = getattr(made["decoder"], f"{name}_ids")
            inputs = made[f"{size}/memory"], made[f"{size}/state"]
            made[f"{name}_{size}"] = tf.function(functools.partial(search, *inputs))

    def train(inputs):
        if "steps" in inputs:
            made["decoder"].set(made["weights"])
            return {"losses": [float(made["step"]()) for _ in range(int(inputs["steps"]))]}
        float(made["step"]())
        return None

    def search(name):
        def run(inputs):
            if inputs:
                made["decoder"].set(made["weights"])  # which a training step has changed
            ids = made[name]().numpy()
            return {"ids": ids} if inputs else None

        return run

    functions = {"setup": setup, "train": train}
    names = [f"{name}_{size}" for name, size in itertools.product(SEARCHES, (1, BATCH))]
    functions.update({name: search(name) for name in names})
    serve(functions, peak_memory)


def train_step(decoder, made):
    variables = [decoder.embedding, *decoder.bridge.trainable_variables]
    variables += [*decoder.wrapper.trainable_variables, *decoder.head.trainable_variables]
    names = ("target", "memory", "state", "labels")
    target, memory, state, labels = (made[f"{BATCH}/{name}"] for name in names)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            logits = decoder.train_logits(target, memory, state)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
            loss = tf.reduce_mean(losses)
        for variable, gradient in zip(variables, tape.gradient(loss, variables), strict=True):
            variable.assign_sub(0.01 * tf.convert_to_tensor(gradient))
        return loss

    return step


def peak_memory(function):
    function()
    tf.config.experimental.reset_memory_stats("CPU:0")
    before = tf.config.experimental.get_memory_info("CPU:0")["current"]
    function()
    return tf.config.experimental.get_memory_info("CPU:0")["peak"] - before


if __name__ == "__main__":
    np.random.seed(0)
    main()
