"""The functions that an exported model answers with. Graph code: needs TensorFlow."""

import itertools

import keras
import tensorflow as tf


class TextSignatures:
    """What a text-to-text model answers: strings in, strings out, the search in the graph.

    Args:
        model: a `Seq2Seq`.
        source_tokenizer: text to source tokens.
        target_tokenizer: target tokens to text.
        max_length: most tokens of an answer.
    """

    def __init__(self, model, source_tokenizer, target_tokenizer, max_length):
        self.model = model
        self.source_tokenizer = source_tokenizer
        self.target_tokenizer = target_tokenizer
        self.max_length = max_length

    def answer(self, text):
        """Answers `text`, string `(B,)`.

        Returns a dictionary, batch first: `text` string `(B,)`; `score` float32 `(B,)`, the
        log-probability; `alignment` float32 `(B, Tt, Ts)`, what each target piece attended to;
        `source_pieces` string `(B, Ts)` and `target_pieces` string `(B, Tt)`, empty after the last.
        """
        ids, lengths = self.source_tokenizer.tokenize(text)
        found = decode_ids(self.model, ids, lengths, self.max_length)
        return {
            "text": self.target_tokenizer.detokenize(found["ids"], found["lengths"]),
            "score": found["score"],
            "alignment": found["alignment"],
            "source_pieces": self.source_tokenizer.pieces(ids, lengths),
            "target_pieces": self.target_tokenizer.pieces(found["ids"], found["lengths"]),
        }

    def score(self, text, target):
        """`score` float32 `(B,)`: the log-probability of `target` as the answer to `text`."""
        ids, lengths = self.source_tokenizer.tokenize(text)
        target_ids, target_lengths = self.target_tokenizer.tokenize(target)
        mask = tf.sequence_mask(lengths, tf.shape(ids)[1])
        return {
            "score": self.model.log_probability(
                ids, target_ids, source_mask=mask, target_lengths=target_lengths
            )
        }


def decode_ids(model, ids, lengths, max_length):
    """Answers token ids int32 `(B, Ts)`, of which the first `lengths` int32 `(B,)` count.

    Lengths and not a padding token: TensorFlow Serving, where it batches, fills up with copies of
    the first element. Returns `ids`, `lengths`, `score` and `alignment`, as long as the longest.
    """
    mask = tf.sequence_mask(lengths, tf.shape(ids)[1])
    found = model.decode(ids, source_mask=mask, max_length=max_length)
    longest = tf.maximum(tf.reduce_max(found.lengths), 1)
    return {
        "ids": found.ids[:, :longest],
        "lengths": found.lengths,
        "score": found.score,
        "alignment": found.alignments[:, :longest],
    }


def add_text_endpoints(archive, signatures):
    """`serving_default` and `score`, over text."""
    text = tf.TensorSpec((None,), tf.string, name="text")
    target = tf.TensorSpec((None,), tf.string, name="target")
    archive.track(signatures.source_tokenizer)
    archive.track(signatures.target_tokenizer)
    archive.add_endpoint("serving_default", signatures.answer, input_signature=[text])
    archive.add_endpoint("score", signatures.score, input_signature=[text, target])


def add_ids_endpoint(archive, name, model, max_length):
    """`name`, over token ids."""

    def decode(ids, lengths):
        return decode_ids(model, ids, lengths, max_length)

    signature = [
        tf.TensorSpec((None, None), tf.int32, name="ids"),
        tf.TensorSpec((None,), tf.int32, name="lengths"),
    ]
    archive.add_endpoint(name, decode, input_signature=signature)


def add_model_endpoint(archive, model):
    """`serving_default` of any other model with known inputs, named as its inputs and outputs.

    Outputs have the names of the layers they come from; the second of one layer is `<layer>_1`.
    """
    names = [tensor.name for tensor in model.inputs]

    def serve(inputs):
        values = [inputs[name] for name in names]
        if isinstance(model, keras.Sequential):  # has `inputs`, but no `input` until it is called
            (values,) = values
        else:
            values = keras.tree.pack_sequence_as(model.input, values)
        outputs = model(values, training=False)
        if isinstance(outputs, dict):
            return outputs
        return dict(zip(_output_names(model), keras.tree.flatten(outputs), strict=True))

    signature = {
        tensor.name: tf.TensorSpec(tensor.shape, tensor.dtype, name=tensor.name)
        for tensor in model.inputs
    }
    archive.add_endpoint("serving_default", serve, input_signature=[signature])


def _output_names(model):
    if isinstance(model, keras.Sequential):
        return [model.layers[-1].name]
    distinct = []
    for name in model.output_names:
        candidates = itertools.chain([name], (f"{name}_{i}" for i in itertools.count(1)))
        distinct.append(next(c for c in candidates if c not in distinct))
    return distinct
