"""The functions that an exported model answers with. Graph code: needs TensorFlow."""

import itertools
from collections.abc import Callable, Collection, Mapping
from typing import Any

import keras
import tensorflow as tf

from keras_attention._types import Tensor
from keras_attention.exporting import search_signatures
from keras_attention.exporting.empty_batches import answering_empty_batches
from keras_attention.exporting.source_limit import cut
from keras_attention.models import Forecaster, Seq2Seq
from keras_attention.text import Tokenizer


class TextSignatures:
    """Signatures of a text-to-text model: strings in, strings out, the search in the graph.

    Args:
        model: a `Seq2Seq`.
        source_tokenizer: text to source tokens.
        target_tokenizer: target tokens to text.
        max_length: most tokens of an answer.
        beam_width: how many hypotheses `beam` goes on with at each step.
        n_best: how many answers `beam` gives.
        max_source_length: most tokens of a text; the rest is cut off, and said to be. None for any.
    """

    def __init__(
        self,
        model: Seq2Seq,
        source_tokenizer: Tokenizer,
        target_tokenizer: Tokenizer,
        max_length: int,
        beam_width: int = 5,
        n_best: int = 5,
        max_source_length: int | None = None,
    ) -> None:
        self.model = model
        self.source_tokenizer = source_tokenizer
        self.target_tokenizer = target_tokenizer
        self.max_length = max_length
        self.beam_width = beam_width
        self.n_best = n_best
        self.max_source_length = max_source_length

    def answer(self, text: Tensor) -> dict[str, Tensor]:
        """Answers `text`, string `(B,)`.

        Returns a dictionary, batch first: `text` string `(B,)`; `score` float32 `(B,)`, the
        log-probability; `finished` boolean `(B,)`, False where it was cut off at `max_length`;
        `truncated` boolean `(B,)`, True where the end of the text was not read; `alignment` float32
        `(B, Tt, Ts)`, what each target piece attended to; `source_pieces` string `(B, Ts)` and
        `target_pieces` string `(B, Tt)`, empty after the last.
        """
        ids, lengths, truncated = self._source(text)
        found = _decode(self.model, ids, lengths, self.max_length)
        return self._as_text(ids, lengths, {**found, "truncated": truncated})

    def beam(
        self, text: Tensor, prefix: Tensor | None = None, **settings: Any
    ) -> dict[str, Tensor]:
        """The `n_best` answers to `text`, string `(B,)`, of a beam search, the best first.

        Args:
            text: string `(B,)`.
            prefix: string `(B,)` or `(1,)`, what the answers begin with, or None.
            settings: `(B,)` or `(1,)` each, or numbers, see `search_signatures.beam_settings`.

        Returns a dictionary, batch first: `text` string `(B, N)`; `score` float32 `(B, N)`, what
        they are ranked by; `log_probability` float32 `(B, N)`, the model's; `finished` boolean
        `(B, N)`; `truncated` boolean `(B,)`; `alignment` float32 `(B, N, Tt, Ts)`; `source_pieces`
        string `(B, Ts)`; `target_pieces` string `(B, N, Tt)`. Where there are fewer than N answers,
        the rest has text "", score -inf, and is not finished.
        """
        ids, lengths, truncated = self._source(text)
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
        return self._as_text(ids, lengths, {**found, "truncated": truncated})

    def sample(
        self, text: Tensor, prefix: Tensor | None = None, **settings: Any
    ) -> dict[str, Tensor]:
        """A drawn answer to each `text`, string `(B,)`.

        Args: as of `beam`, with the settings of `search_signatures.sample_settings`. The same
        `seed` draws the same answer to the same text again; give a text several times, with
        different seeds, for several answers.

        Returns what `answer` returns.
        """
        ids, lengths, truncated = self._source(text)
        found = search_signatures.sample(
            self.model,
            ids,
            tf.sequence_mask(lengths, tf.shape(ids)[1]),
            settings,
            self._prefix(prefix),
            max_length=self.max_length,
        )
        return self._as_text(ids, lengths, {**found, "truncated": truncated})

    def score(self, text: Tensor, target: Tensor) -> dict[str, Tensor]:
        """`score` float32 `(B,)`: the log-probability of `target` as the answer to `text`.

        Targets are cut off, too, where they are longer than answers and texts may be. `truncated`
        boolean `(B,)` tells of either.
        """
        ids, lengths, truncated = self._source(text)
        limit = self.max_source_length and max(self.max_length, self.max_source_length)
        target_ids, target_lengths, cut_target = cut(*self.target_tokenizer.tokenize(target), limit)
        mask = tf.sequence_mask(lengths, tf.shape(ids)[1])
        score = self.model.log_probability(
            ids, target_ids, source_mask=mask, target_lengths=target_lengths
        )
        return {"score": score, "truncated": tf.logical_or(truncated, cut_target)}

    def _source(self, text: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Ids `(B, Ts)` and lengths `(B,)` of what is read, and whether that is not all."""
        return cut(*self.source_tokenizer.tokenize(text), self.max_source_length)

    def _prefix(self, prefix: Tensor | None) -> tuple[Tensor, Tensor] | None:
        return None if prefix is None else self.target_tokenizer.tokenize(prefix)

    def _as_text(self, ids: Tensor, lengths: Tensor, found: dict[str, Tensor]) -> dict[str, Tensor]:
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


def decode_ids(
    model: Seq2Seq,
    ids: Tensor,
    lengths: Tensor,
    max_length: int,
    max_source_length: int | None = None,
) -> dict[str, Tensor]:
    """Answers token ids int32 `(B, Ts)`, of which the first `lengths` int32 `(B,)` count.

    Lengths and not a padding token: TensorFlow Serving, where it batches, fills up with copies of
    the first element. Returns `ids`, `lengths`, `score` and `alignment`, as long as the longest;
    `finished` and `truncated` as `TextSignatures.answer`.
    """
    ids, lengths, truncated = cut(ids, lengths, max_source_length)
    return {**_decode(model, ids, lengths, max_length), "truncated": truncated}


def _decode(model: Seq2Seq, ids: Tensor, lengths: Tensor, max_length: int) -> dict[str, Tensor]:
    mask = tf.sequence_mask(lengths, tf.shape(ids)[1])
    found = model.decode(ids, source_mask=mask, max_length=max_length)
    longest = tf.maximum(tf.reduce_max(found.lengths), 1)
    return {
        "ids": found.ids[:, :longest],
        "lengths": found.lengths,
        "score": found.score,
        "finished": found.lengths < max_length,
        "alignment": found.alignments[:, :longest],
    }


def add_text_endpoints(
    archive: Any, signatures: TextSignatures, searches: Collection[str], presets: Mapping[str, Any]
) -> None:
    """`serving_default`, `score`, the named searches and the presets, over text."""
    text = tf.TensorSpec((None,), tf.string, name="text")
    target = tf.TensorSpec((None,), tf.string, name="target")
    prefix = tf.TensorSpec((None,), tf.string, name="prefix"), tf.constant([""])
    archive.track(signatures.source_tokenizer)
    archive.track(signatures.target_tokenizer)
    search_signatures.add_endpoint(
        archive, "serving_default", lambda inputs: signatures.answer(**inputs), [text], [], {}
    )
    search_signatures.add_endpoint(
        archive, "score", lambda inputs: signatures.score(**inputs), [text, target], [], {}
    )
    answers = {
        "beam": lambda inputs: signatures.beam(**inputs),
        "sample": lambda inputs: signatures.sample(**inputs),
    }
    search_signatures.add_searches(
        archive, answers, [text], [prefix], signatures.max_length, searches, presets
    )


def add_ids_endpoint(
    archive: Any, name: str, model: Seq2Seq, max_length: int, max_source_length: int | None
) -> tuple[Callable[[dict[str, Tensor]], Any], list[tf.TensorSpec]]:
    """`name`, over token ids; returns its function of a dictionary, and its inputs."""

    def decode(inputs: dict[str, Tensor]) -> Any:
        return decode_ids(model, inputs["ids"], inputs["lengths"], max_length, max_source_length)

    search_signatures.add_endpoint(archive, name, decode, _ids_inputs(), [], {})
    return decode, _ids_inputs()


def add_ids_searches(
    archive: Any,
    model: Seq2Seq,
    max_length: int,
    beam_width: int,
    n_best: int,
    searches: Collection[str],
    presets: Mapping[str, Any],
    max_source_length: int | None,
) -> None:
    """The named ones of `beam` and `sample`, and the presets, over token ids."""
    optional = [
        (tf.TensorSpec((None, None), tf.int32, name="prefix"), tf.constant([[0]])),
        (tf.TensorSpec((None,), tf.int32, name="prefix_lengths"), tf.constant([0])),
    ]

    def answer(
        search: Callable[..., dict[str, Tensor]], inputs: dict[str, Tensor], **options: Any
    ) -> dict[str, Tensor]:
        ids, lengths, truncated = cut(inputs["ids"], inputs["lengths"], max_source_length)
        mask = tf.sequence_mask(lengths, tf.shape(ids)[1])
        prefix = (inputs["prefix"], inputs["prefix_lengths"]) if "prefix" in inputs else None
        found = search(model, ids, mask, inputs, prefix, max_length=max_length, **options)
        return {**found, "truncated": truncated}

    def beam(inputs: dict[str, Tensor]) -> Any:
        return answer(search_signatures.beam, inputs, beam_width=beam_width, n_best=n_best)

    def sample(inputs: dict[str, Tensor]) -> Any:
        return answer(search_signatures.sample, inputs)

    answers = {"beam": beam, "sample": sample}
    search_signatures.add_searches(
        archive, answers, _ids_inputs(), optional, max_length, searches, presets
    )


def _ids_inputs() -> list[tf.TensorSpec]:
    return [
        tf.TensorSpec((None, None), tf.int32, name="ids"),
        tf.TensorSpec((None,), tf.int32, name="lengths"),
    ]


def add_forecast_endpoint(
    archive: Any, model: Forecaster
) -> tuple[Callable[[dict[str, Tensor]], Any], list[tf.TensorSpec]]:
    """`serving_default` of a `Forecaster`, over windows `(B, T, F + C)`; returns it, as above."""
    size = model.features + model.covariates
    values = tf.TensorSpec((None, None, size), tf.float32, name="values")

    def serve(inputs: dict[str, Tensor]) -> dict[str, Any]:
        forecast, alignment = model.forecast(inputs["values"], return_attention_scores=True)
        return {"forecast": forecast, "alignment": alignment}

    search_signatures.add_endpoint(archive, "serving_default", serve, [values], [], {})
    return serve, [values]


def add_model_endpoint(
    archive: Any, model: Any
) -> tuple[Callable[[dict[str, Tensor]], Any], list[tf.TensorSpec]]:
    """`serving_default` of any other model with known inputs, named as its inputs and outputs.

    Outputs have the names of the layers they come from; the second of one layer is `<layer>_1`.

    Returns:
        The function of a dictionary of inputs that answers, and the inputs.
    """
    names = [tensor.name for tensor in model.inputs]

    def serve(inputs: dict[str, Tensor]) -> Any:
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
    batches = [tensor.name for tensor in model.inputs if tensor.shape and tensor.shape[0] is None]
    endpoint = answering_empty_batches(serve, batches) if batches else serve
    archive.add_endpoint("serving_default", endpoint, input_signature=[signature])
    return serve, model.inputs


def _output_names(model: Any) -> list[str]:
    if isinstance(model, keras.Sequential):
        return [model.layers[-1].name]
    distinct = []
    for name in model.output_names:
        candidates = itertools.chain([name], (f"{name}_{i}" for i in itertools.count(1)))
        distinct.append(next(c for c in candidates if c not in distinct))
    return distinct
