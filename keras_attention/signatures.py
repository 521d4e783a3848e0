"""The functions that an exported model answers with. Graph code: needs TensorFlow."""

import itertools

import keras
import tensorflow as tf

from keras_attention import search_signatures


class TextSignatures:
    """What a text-to-text model answers: strings in, strings out, the search in the graph.

    Args:
        model: a `Seq2Seq`.
        source_tokenizer: text to source tokens.
        target_tokenizer: target tokens to text.
        max_length: most tokens of an answer.
        beam_width: how many hypotheses `beam` goes on with at each step.
        n_best: how many answers `beam` gives.
    """

    def __init__(
        self, model, source_tokenizer, target_tokenizer, max_length, beam_width=5, n_best=5
    ):
        self.model = model
        self.source_tokenizer = source_tokenizer
        self.target_tokenizer = target_tokenizer
        self.max_length = max_length
        self.beam_width = beam_width
        self.n_best = n_best

    def answer(self, text):
        """Answers `text`, string `(B,)`.

        Returns a dictionary, batch first: `text` string `(B,)`; `score` float32 `(B,)`, the
        log-probability; `alignment` float32 `(B, Tt, Ts)`, what each target piece attended to;
        `source_pieces` string `(B, Ts)` and `target_pieces` string `(B, Tt)`, empty after the last.
        """
        ids, lengths = self.source_tokenizer.tokenize(text)
        found = decode_ids(self.model, ids, lengths, self.max_length)
        return self._as_text(ids, lengths, found)

    def beam(self, text, prefix=None, **settings):
        """The `n_best` answers to `text`, string `(B,)`, of a beam search, the best first.

        Args:
            text: string `(B,)`.
            prefix: string `(B,)` or `(1,)`, what the answers begin with, or None.
            settings: `(B,)` or `(1,)` each, or numbers, see `search_signatures.beam_settings`.

        Returns a dictionary, batch first: `text` string `(B, N)`; `score` float32 `(B, N)`, what
        they are ranked by; `log_probability` float32 `(B, N)`, the model's; `alignment` float32
        `(B, N, Tt, Ts)`; `source_pieces` string `(B, Ts)`; `target_pieces` string `(B, N, Tt)`.
        Where there are fewer than N answers, the rest has text "" and score -inf.
        """
        ids, lengths = self.source_tokenizer.tokenize(text)
        found = search_signatures.beam(
            self.model,
            ids,
            tf.sequence_mask(lengths, tf.shape(ids)[1]),
            settings,
            self._prefix(prefix),
            max_length=self.max_length,
            beam_width=self.beam_width,
            n_best=self.n_best,
        )
        return self._as_text(ids, lengths, found)

    def sample(self, text, prefix=None, **settings):
        """A drawn answer to each `text`, string `(B,)`.

        Args: as of `beam`, with the settings of `search_signatures.sample_settings`. The same
        `seed` draws the same answer to the same text again; give a text several times, with
        different seeds, for several answers.

        Returns what `answer` returns.
        """
        ids, lengths = self.source_tokenizer.tokenize(text)
        found = search_signatures.sample(
            self.model,
            ids,
            tf.sequence_mask(lengths, tf.shape(ids)[1]),
            settings,
            self._prefix(prefix),
            max_length=self.max_length,
        )
        return self._as_text(ids, lengths, found)

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

    def _prefix(self, prefix):
        return None if prefix is None else self.target_tokenizer.tokenize(prefix)

    def _as_text(self, ids, lengths, found):
        """Pieces and text in place of target ids `(B, ..., Tt)`, and the pieces of the source."""
        found = dict(found)
        target_ids, target_lengths = found.pop("ids"), found.pop("lengths")
        rows = tf.reshape(target_ids, (-1, tf.shape(target_ids)[-1]))
        row_lengths = tf.reshape(target_lengths, (-1,))
        text = self.target_tokenizer.detokenize(rows, row_lengths)
        pieces = self.target_tokenizer.pieces(rows, row_lengths)
        return {
            "text": tf.reshape(text, tf.shape(target_lengths)),
            **found,
            "source_pieces": self.source_tokenizer.pieces(ids, lengths),
            "target_pieces": tf.reshape(pieces, tf.shape(target_ids)),
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


def add_text_endpoints(archive, signatures, searches, presets):
    """`serving_default`, `score`, the named searches and the presets, over text."""
    text = tf.TensorSpec((None,), tf.string, name="text")
    target = tf.TensorSpec((None,), tf.string, name="target")
    prefix = tf.TensorSpec((None,), tf.string, name="prefix"), tf.constant([""])
    archive.track(signatures.source_tokenizer)
    archive.track(signatures.target_tokenizer)
    archive.add_endpoint("serving_default", signatures.answer, input_signature=[text])
    archive.add_endpoint("score", signatures.score, input_signature=[text, target])
    answers = {
        "beam": lambda inputs: signatures.beam(**inputs),
        "sample": lambda inputs: signatures.sample(**inputs),
    }
    search_signatures.add_searches(
        archive, answers, [text], [prefix], signatures.max_length, searches, presets
    )


def add_ids_endpoint(archive, name, model, max_length):
    """`name`, over token ids."""

    def decode(ids, lengths):
        return decode_ids(model, ids, lengths, max_length)

    archive.add_endpoint(name, decode, input_signature=_ids_inputs())


def add_ids_searches(archive, model, max_length, beam_width, n_best, searches, presets):
    """The named ones of `beam` and `sample`, and the presets, over token ids."""
    optional = [
        (tf.TensorSpec((None, None), tf.int32, name="prefix"), tf.constant([[0]])),
        (tf.TensorSpec((None,), tf.int32, name="prefix_lengths"), tf.constant([0])),
    ]

    def answer(search, inputs, **options):
        ids, lengths = inputs["ids"], inputs["lengths"]
        mask = tf.sequence_mask(lengths, tf.shape(ids)[1])
        prefix = (inputs["prefix"], inputs["prefix_lengths"]) if "prefix" in inputs else None
        return search(model, ids, mask, inputs, prefix, max_length=max_length, **options)

    def beam(inputs):
        return answer(search_signatures.beam, inputs, beam_width=beam_width, n_best=n_best)

    def sample(inputs):
        return answer(search_signatures.sample, inputs)

    answers = {"beam": beam, "sample": sample}
    search_signatures.add_searches(
        archive, answers, _ids_inputs(), optional, max_length, searches, presets
    )


def _ids_inputs():
    return [
        tf.TensorSpec((None, None), tf.int32, name="ids"),
        tf.TensorSpec((None,), tf.int32, name="lengths"),
    ]


def add_forecast_endpoint(archive, model):
    """`serving_default` of a `Forecaster`, over windows `(B, T, F + C)`."""
    size = model.features + model.covariates
    values = tf.TensorSpec((None, None, size), tf.float32, name="values")

    def serve(values):
        forecast, alignment = model.forecast(values, return_attention_scores=True)
        return {"forecast": forecast, "alignment": alignment}

    archive.add_endpoint("serving_default", serve, input_signature=[values])


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
