"""A Keras model to `saved_models/<name>/<version>`, as TensorFlow Serving reads it."""

import os
import shutil
import tempfile
from pathlib import Path

import keras

from keras_attention.models import Forecaster, Seq2Seq

SEARCHES = ("beam", "sample")


def export(
    model,
    path,
    *,
    source_tokenizer=None,
    target_tokenizer=None,
    max_length=100,
    beam_width=5,
    n_best=None,
    searches=SEARCHES,
    presets=None,
    version=None,
    warmup=(),
):
    """Writes a model as the next version of a SavedModel.

    Signatures of a `Seq2Seq` with tokenizers:

    - `serving_default`: `text` -> `text`, `score`, `alignment`, `source_pieces`, `target_pieces`;
    - `score`: `text`, `target` -> `score`, the log-probability of a given pair;
    - `decode_ids`: `ids`, `lengths` -> `ids`, `lengths`, `score`, `alignment`;
    - `beam`: `text` -> the best few of a beam search, with `log_probability`, too;
    - `sample`: `text` -> an answer that is drawn.

    The settings of `beam` and `sample` are inputs that a request over gRPC may leave out: see
    `keras_attention.search_signatures`. TensorFlow Serving's REST wants all of them. Where it
    batches requests, all inputs have to be of one length: a request of several texts has to give
    each setting for each. Where that is in the way, `presets` are searches whose settings are part
    of the model: such a signature wants `text` alone, one of `sample` also `seed`, unless that is
    set; and it works out nothing that its settings do not ask for.

    Without tokenizers `serving_default` is `decode_ids`, and `beam` and `sample` take `ids` and
    `lengths` for `text` and `prefix` and `prefix_lengths` for `prefix`. A `Forecaster` gets
    `serving_default`: `values` -> `forecast`, `alignment`. Any other model with known
    inputs (a functional one, say) gets a `serving_default` with the names of its inputs and
    outputs. All outputs are batch first, and none of the signatures needs XLA or Keras.

    The version appears under its name in one step, when it is complete: a server that watches the
    folder never sees half of it.

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
        warmup: texts with which the server runs the model before it counts as available.

    Returns:
        The `pathlib.Path` of the version.

    Raises:
        ValueError: another backend, a model that is not built or without known inputs, one
            tokenizer without the other, `n_best` above `beam_width`, an unknown search, presets
            that are taken, unknown or out of range, or a bad `version`.
        FileExistsError: the version is there already.
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
    if warmup and source_tokenizer is None:
        raise ValueError("Expected warmup texts only along with tokenizers.")
    if isinstance(warmup, str | bytes):
        raise ValueError(f"Expected a list of warmup texts. Received: warmup={warmup!r}")
    if not set(searches) <= set(SEARCHES):
        raise ValueError(f"Expected searches out of {SEARCHES}. Received: searches={searches!r}")
    special = isinstance(model, Seq2Seq | Forecaster)
    if special and not model.built:
        raise ValueError(f"Expected a built model. Received: model={model!r}")
    if not special and not getattr(model, "inputs", None):
        raise ValueError(f"Expected a model with known inputs. Received: model={model!r}")
    # Here and not above: importing the package must not load TensorFlow under other backends.
    from keras_attention import search_signatures, signatures, warmup_requests

    presets = presets or {}
    if presets and not isinstance(model, Seq2Seq):
        raise ValueError(f"Expected a Seq2Seq along with presets. Received: model={model!r}")
    search_signatures.check_presets(presets, max_length)
    n_best = beam_width if n_best is None else n_best
    path = Path(path)
    there = _versions(path)
    version = 1 + max(there, default=0) if version is None else _check_version(version)
    if version in there:
        raise FileExistsError(
            f"Expected a version that is not there yet. Received: {there[version]}"
        )
    target = path / str(version)
    archive = keras.export.ExportArchive()
    archive.track(model)
    if source_tokenizer is not None:
        answers = signatures.TextSignatures(
            model, source_tokenizer, target_tokenizer, max_length, beam_width, n_best
        )
        signatures.add_text_endpoints(archive, answers, searches, presets)
        signatures.add_ids_endpoint(archive, "decode_ids", model, max_length)
    elif isinstance(model, Seq2Seq):
        signatures.add_ids_endpoint(archive, "serving_default", model, max_length)
        signatures.add_ids_searches(
            archive, model, max_length, beam_width, n_best, searches, presets
        )
    elif isinstance(model, Forecaster):
        signatures.add_forecast_endpoint(archive, model)
    else:
        signatures.add_model_endpoint(archive, model)
    path.mkdir(parents=True, exist_ok=True)
    # A name that is no integer is no version, to TensorFlow Serving.
    unfinished = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=path))
    try:
        archive.write_out(str(unfinished), verbose=False)
        if warmup:
            warmup_requests.write(unfinished, path.name, warmup)
        unfinished.chmod(0o755)  # mkdtemp's folders are for their maker alone
        os.rename(unfinished, target)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return target


def _check_version(version):
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise ValueError(f"Expected version to be a positive integer. Received: {version!r}")
    return version


def _versions(path):
    """What is there, by its number: to TensorFlow Serving 007 is version 7, too."""
    if not path.is_dir():
        return {}
    return {int(p.name): p for p in path.iterdir() if p.name.isdecimal()}
