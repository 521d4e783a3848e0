"""A Keras model to `saved_models/<name>/<version>`, as TensorFlow Serving reads it."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras

from keras_attention.models import Forecaster, Seq2Seq

if TYPE_CHECKING:  # the package must import without TensorFlow
    from keras_attention.text import Tokenizer

SEARCHES = ("beam", "sample")


def export(
    model: Any,
    path: str | Path,
    *,
    source_tokenizer: "Tokenizer | None" = None,
    target_tokenizer: "Tokenizer | None" = None,
    max_length: int = 100,
    beam_width: int = 5,
    n_best: int | None = None,
    searches: Collection[str] = SEARCHES,
    presets: Mapping[str, tuple[str, Mapping[str, float]]] | None = None,
    version: int | None = None,
    warmup: Any = (),
    warmup_batch_sizes: Sequence[int] = (1,),
    max_source_length: int | None = None,
) -> Path:
    """Writes a model as the next version of a SavedModel.

    Signatures of a `Seq2Seq` with tokenizers:

    - `serving_default`: `text` -> `text`, `score`, `finished`, `truncated`, `alignment`,
      `source_pieces`, `target_pieces`;
    - `score`: `text`, `target` -> `score`, the log-probability of a given pair, and `truncated`;
    - `decode_ids`: `ids`, `lengths` -> `ids`, `lengths`, `score`, `finished`, `truncated`,
      `alignment`;
    - `beam`: `text` -> the best few of a beam search, with `log_probability`, too;
    - `sample`: `text` -> an answer that is drawn.

    The settings of `beam` and `sample` are inputs that a request over gRPC may leave out: see
    `keras_attention.exporting.search_signatures`. TensorFlow Serving's REST wants all of them.
    Where it batches requests, all inputs have to be of one length: a request of several texts has
    to give each setting for each. Where that is in the way, `presets` are searches whose settings
    are part of the model: such a signature wants `text` alone, one of `sample` also `seed`, unless
    that is set; and it works out nothing that its settings do not ask for.

    Without tokenizers `serving_default` is `decode_ids`, and `beam` and `sample` take `ids` and
    `lengths` for `text` and `prefix` and `prefix_lengths` for `prefix`. A `Forecaster` gets
    `serving_default`: `values` -> `forecast`, `alignment`. Any other model with known
    inputs (a functional one, say) gets a `serving_default` with the names of its inputs and
    outputs. All outputs are batch first, and none of the signatures needs XLA or Keras.

    An answer that reached `max_length` before its end is not `finished`. Of a text of more tokens
    than `max_source_length` only the first are read, so that none can keep a server busy for long:
    it is `truncated`, and not refused, since it may stand in a batch with others. Batches without
    an example have outputs without one.

    The version appears under its name in one step, when it is complete: a server that watches the
    folder never sees half of it. Exports to one folder at once get a number each, and what one that
    was killed has left goes with the next.

    Args:
        model: a `Seq2Seq` or another built Keras model, on the TensorFlow backend.
        path: the folder of the model, `saved_models/<name>`; made if it is not there.
        source_tokenizer: a `keras_attention.text.Tokenizer`; both or none.
        target_tokenizer: a `keras_attention.text.Tokenizer`.
        max_length: most tokens of an answer; for a `Seq2Seq`.
        beam_width: how many hypotheses `beam` goes on with at each step.
        n_best: how many answers `beam` gives, at most `beam_width`, which is the default.
        searches: which of `"beam"` and `"sample"` to write. They more than double the graph, and
            with it the time until a server is ready.
        presets: by the name of the signature, the search and its settings by name, as in
            `{"polite": ("beam", {"length_penalty": 0.6}), "free": ("sample", {"top_p": 0.9})}`.
        version: a positive integer; the next after the highest there by default.
        warmup: what the server runs every signature with before it counts as available: texts; for
            a model without tokenizers, dictionaries of arrays by the names of its inputs; or True
            for a text of the vocabulary, or for arrays of ones, with 8 for unknown sizes.
        warmup_batch_sizes: how many examples, for each of the requests that warm up: the sizes of
            batches that the server is configured for.
        max_source_length: most tokens of a text that are read; for a `Seq2Seq`. By default 1024, or
            as many as the model has learned positions for.

    Returns:
        The `pathlib.Path` of the version.

    Raises:
        ValueError: another backend, a model that is not built or without known inputs, one
            tokenizer without the other, `n_best` above `beam_width`, an unknown search, presets
            that are taken, unknown or out of range, a bad `version`, warmup that the model does
            not take, an optional input, or a `keras.layers.TimeDistributed` over an unknown number
            of steps where Keras has that wrong.
        FileExistsError: the version that was asked for is there already.
        OSError: the disk is full.
    """
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            "Expected the TensorFlow backend: save the model as `.keras`, and load and export it "
            f"under KERAS_BACKEND=tensorflow. Received: backend={keras.backend.backend()!r}"
        )
    if (source_tokenizer is None) != (target_tokenizer is None):
        raise ValueError("Expected both tokenizers or none. Received: one")
    if source_tokenizer is not None and not isinstance(model, Seq2Seq):
        raise ValueError(f"Expected a Seq2Seq along with tokenizers. Received: model={model!r}")
    if isinstance(warmup, str | bytes):
        raise ValueError(f"Expected a list of warmup texts. Received: warmup={warmup!r}")
    kinds = set() if warmup is True else {isinstance(x, str | bytes) for x in warmup}
    if True in kinds and source_tokenizer is None:
        raise ValueError("Expected warmup texts only along with tokenizers.")
    if False in kinds and source_tokenizer is not None:
        raise ValueError(f"Expected warmup texts along with tokenizers. Received: {warmup!r}")
    for name, numbers in (
        ("warmup_batch_sizes", warmup_batch_sizes),
        ("max_source_length", [1 if max_source_length is None else max_source_length]),
    ):
        if not all(type(number) is int and number >= 1 for number in numbers):
            raise ValueError(f"Expected {name} of positive integers. Received: {numbers!r}")
    if max_source_length is not None and not isinstance(model, Seq2Seq):
        raise ValueError(
            f"Expected a Seq2Seq along with max_source_length. Received: model={model!r}"
        )
    if not set(searches) <= set(SEARCHES):
        raise ValueError(f"Expected searches out of {SEARCHES}. Received: searches={searches!r}")
    special = isinstance(model, Seq2Seq | Forecaster)
    if special and not model.built:
        raise ValueError(f"Expected a built model. Received: model={model!r}")
    if not special and not getattr(model, "inputs", None):
        raise ValueError(f"Expected a model with known inputs. Received: model={model!r}")
    # Here and not above: importing the package must not load TensorFlow under other backends.
    from keras_attention.exporting import (
        search_signatures,
        servability,
        signatures,
        source_limit,
        version_folder,
        warmup_requests,
    )

    presets = presets or {}
    if presets and not isinstance(model, Seq2Seq):
        raise ValueError(f"Expected a Seq2Seq along with presets. Received: model={model!r}")
    search_signatures.check_presets(presets, max_length)
    n_best = beam_width if n_best is None else n_best
    path = Path(path)
    if version is not None:
        version_folder.check_free(path, _check_version(version))
    servability.check_servable(model, has_unknown_steps=special)
    if max_source_length is None and isinstance(model, Seq2Seq):
        max_source_length = source_limit.default_source_limit(model)
    archive = keras.export.ExportArchive()
    archive.track(model)
    if source_tokenizer is not None and target_tokenizer is not None:
        answers = signatures.TextSignatures(
            model,
            source_tokenizer,
            target_tokenizer,
            max_length,
            beam_width,
            n_best,
            max_source_length,
        )
        signatures.add_text_endpoints(archive, answers, searches, presets)
        signatures.add_ids_endpoint(archive, "decode_ids", model, max_length, max_source_length)
        examples = warmup_requests.text_examples(warmup, source_tokenizer, target_tokenizer)
    elif isinstance(model, Seq2Seq):
        answer, inputs = signatures.add_ids_endpoint(
            archive, "serving_default", model, max_length, max_source_length
        )
        signatures.add_ids_searches(
            archive, model, max_length, beam_width, n_best, searches, presets, max_source_length
        )
    elif isinstance(model, Forecaster):
        answer, inputs = signatures.add_forecast_endpoint(archive, model)
    else:
        answer, inputs = signatures.add_model_endpoint(archive, model)
    if source_tokenizer is None:
        examples = warmup_requests.array_examples(warmup, inputs, answer)
        if any(x.shape[0] is not None for x in inputs):  # one size of batch
            warmup_batch_sizes = [len(next(iter(example.values()))) for example in examples[:1]]
    requests = warmup_requests.in_batches(examples, warmup_batch_sizes)
    with version_folder.unfinished(path) as folder:
        archive.write_out(str(folder), verbose=False)
        if requests:
            warmup_requests.write(folder, path.name, requests)
        return version_folder.publish(folder, path, version)


def _check_version(version: Any) -> int:
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise ValueError(f"Expected version to be a positive integer. Received: {version!r}")
    return version
