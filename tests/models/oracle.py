"""The encoder-decoder with GRUs and additive attention, in NumPy float64, from the formulas.

Cho et al., 2014, as Keras' GRU has it with `reset_after=True`; Bahdanau et al., 2015, A.1.2 and
A.2. One example at a time and without padding, so that no mask can be wrong here.
"""

import numpy as np


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(x):
    e = np.exp(x - x.max())
    return e / e.sum()


def gru(x, h, kernel, recurrent_kernel, bias):
    """One step: the state after `x`."""
    xz, xr, xh = np.split(x @ kernel + bias[0], 3)
    hz, hr, hh = np.split(h @ recurrent_kernel + bias[1], 3)
    z, r = sigmoid(xz + hz), sigmoid(xr + hr)
    return z * h + (1 - z) * np.tanh(xh + r * hh)


def run(inputs, weights):
    """All states of a GRU that starts from 0."""
    h, states = np.zeros(weights[1].shape[0]), []
    for x in inputs:
        h = gru(x, h, *weights)
        states.append(h)
    return np.array(states)


class Oracle:
    """Reads the weights of an `RNNSeq2Seq` with one layer of GRUs, bidirectional, Bahdanau."""

    def __init__(self, model):
        name = model.name
        weights = {w.path.removeprefix(f"{name}/"): w for w in model.weights}
        self.weights = {k: np.array(w.numpy(), "float64") for k, w in weights.items()}

    def __getitem__(self, part):
        """The one weight whose path has all the words of `part`."""
        words = part.split()
        found = [v for k, v in self.weights.items() if all(w in k.split("/") for w in words)]
        (value,) = found
        return value

    def cell(self, part):
        return [self[f"{part} {name}"] for name in ("kernel", "recurrent_kernel", "bias")]

    def encode(self, source):
        x = self["encoder embeddings"][source]
        forward = run(x, self.cell("forward_rnn_0"))
        backward = run(x[::-1], self.cell("backward_rnn_0"))
        memory = np.concatenate([forward, backward[::-1]], axis=1)
        last = np.concatenate([forward[-1], backward[-1]])
        return memory, np.tanh(last @ self["bridge_0_0 kernel"] + self["bridge_0_0 bias"])

    def read(self, s, memory):
        added = s @ self["query kernel"] + memory @ self["key kernel"]
        weights = softmax(np.tanh(added) @ self["attention_v"])
        return weights @ memory, weights

    def step(self, token, s, memory, query="previous"):
        """Logits, state, weights."""
        x = self["decoder embeddings"][token]
        if query == "previous":
            context, weights = self.read(s, memory)
            s = gru(np.concatenate([x, context]), s, *self.cell("cell_0"))
        else:
            s = gru(x, s, *self.cell("cell_0"))
            context, weights = self.read(s, memory)
        features = np.concatenate([s, context])
        vector = np.tanh(features @ self["attention_vector kernel"] + self["attention_vector bias"])
        return vector @ self["logits kernel"] + self["logits bias"], s, weights

    def logits(self, source, target, query="previous"):
        """Teacher-forced logits `(T, V)` for the tokens before those to predict."""
        memory, s = self.encode(source)
        rows = []
        for token in target:
            row, s, _ = self.step(token, s, memory, query)
            rows.append(row)
        return np.array(rows)

    def decode(self, source, start_id, end_id, max_length, query="previous"):
        """Greedy: ids, the score, the weights of each id."""
        memory, s = self.encode(source)
        token, ids, score, alignment = start_id, [], 0.0, np.zeros((0, len(source)))
        for _ in range(max_length):
            row, s, weights = self.step(token, s, memory, query)
            token = int(np.argmax(row))
            score += np.log(softmax(row)[token])
            if token == end_id:
                break
            ids.append(token)
            alignment = np.vstack([alignment, weights])
        return ids, score, alignment
