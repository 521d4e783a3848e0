"""Exported text models, loaded every way there is: each answers as the model does in process."""

import functools
import gc

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_attention as ka
from keras_attention.exporting.signatures import TextSignatures
from keras_attention.text import Tokenizer
from tests.test_export import in_another_process

MAX_LENGTH, MAX_SOURCE_LENGTH = 5, 7
PRESETS = {"best": ("beam", {"length_penalty": 0.5}), "free": ("sample", {"top_k": 3, "seed": 7})}
# Of different kind, size and script on both sides, and in both models.
CHARS = ["abcdefg hij", "klm nop"], "char", 41
WORDS = ["eins zwei drei vier", "fünf sechs"], "word", 53
OTHER_WORDS = ["один два три", "четыре пять шесть"], "word", 53
OTHER_CHARS = ["xyzw", "uvst"], "char", 41
ALL = ["serving_default", "score", "beam", "sample", "best", "free", "decode_ids"]
TEXTS = ["abc", "eins два", "nop a b c d e", ""]


class Example:
    """A model with its tokenizers; random weights give each text an answer of its own."""

    def __init__(self, source, target, seed):
        keras.utils.set_random_seed(seed)
        self.tokenizers = Tokenizer.train(*source), Tokenizer.train(*target)
        sizes = [tokenizer.vocabulary_size for tokenizer in self.tokenizers]
        self.model = ka.RNNSeq2Seq(*sizes, units=5, attention=ka.BahdanauAttention(3))
        self.model({"source": np.ones((1, 2), "int32"), "target": np.ones((1, 2), "int32")})
        generator = np.random.default_rng(seed)
        for weight in self.model.trainable_weights:
            weight.assign(generator.standard_normal(weight.shape))
        self.signatures = TextSignatures(
            self.model, *self.tokenizers, MAX_LENGTH, 3, 2, MAX_SOURCE_LENGTH
        )

    def export(self, path, **options):
        source, target = self.tokenizers
        return ka.export(
            self.model,
            path,
            source_tokenizer=source,
            target_tokenizer=target,
            max_length=MAX_LENGTH,
            max_source_length=MAX_SOURCE_LENGTH,
            beam_width=3,
            n_best=2,
            **options,
        )

    @functools.cached_property
    def answers(self):
        """By signature, what it answers in process to the texts."""
        text, ours = tf.constant(TEXTS, tf.string), self.signatures
        return {
            "serving_default": ours.answer(text),
            "score": ours.score(text, text),
            "beam": ours.beam(text),
            "sample": ours.sample(text),
            "best": ours.beam(text, length_penalty=0.5),
            "free": ours.sample(text, top_k=3, seed=tf.constant([7])),
        }


@pytest.fixture(scope="module")
def examples():
    """Made one after the other, so that tokenizers of both are alive at once."""
    second = Example(OTHER_WORDS, OTHER_CHARS, 2)
    first = Example(CHARS, WORDS, 1)
    return first, second


@pytest.fixture(scope="module")
def versions(examples, tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved_models")
    first, second = examples
    return (
        first.export(folder / "first", presets=PRESETS),
        second.export(folder / "second", searches=(), presets={"best": PRESETS["best"]}),
    )


@pytest.fixture(scope="module")
def loaded(versions):
    return tf.saved_model.load(str(versions[0]))


def check(found, wanted):
    assert set(found) == set(wanted)
    for name, value in wanted.items():
        got, value = np.asarray(found[name]), value.numpy()
        if value.dtype == "float32":
            np.testing.assert_allclose(got, value, rtol=1e-4, atol=1e-5)
        else:
            np.testing.assert_array_equal(got, value)


def call(signatures, name, texts):
    """A signature of a model that Python loaded; its settings are all given."""
    function = signatures[name]
    (_, inputs) = function.structured_input_signature
    given = {"text": tf.constant(texts, tf.string)}
    if "target" in inputs:
        given["target"] = given["text"]
    neutral = {"temperature": 1.0, "top_p": 1.0, "repetition_penalty": 1.0, "max_length": 5}
    for key, spec in inputs.items():
        fill = "" if spec.dtype == tf.string else neutral.get(key, 0)
        given.setdefault(key, tf.constant([fill], spec.dtype))
    return function(**given)


def test_two_models_that_python_loads(examples, versions, loaded):
    models = [loaded, tf.saved_model.load(str(versions[1]))]
    for example, model in zip(examples, models, strict=True):
        wanted = example.answers
        names = set(model.signatures) & set(wanted)
        assert {"serving_default", "score", "best"} <= names
        for name in names:
            check(call(model.signatures, name, TEXTS), wanted[name])
    again = tf.saved_model.load(str(versions[1]))
    del models, model
    gc.collect()  # one of two models of one vocabulary goes
    wanted = examples[1].answers["serving_default"]
    check(call(again.signatures, "serving_default", TEXTS), wanted)


def test_two_models_as_keras_layers(examples, versions):
    for example, version in zip(examples, versions, strict=True):
        wanted = example.answers
        for name in ("serving_default", "best"):
            layer = keras.layers.TFSMLayer(str(version), call_endpoint=name)
            check(layer(tf.constant(TEXTS)), wanted[name])


def test_the_c_runtime(examples, versions, tmp_path):
    smaller = {"serving_default", "score", "best"}
    for example, version, names in zip(examples, versions, (set(ALL), smaller), strict=True):
        wanted, names = example.answers, sorted(names - {"decode_ids"})
        feeds = {"text": TEXTS}
        calls = [(n, {**feeds, "target": TEXTS} if n == "score" else feeds) for n in names]
        for name, found in zip(names, in_another_process(version, tmp_path, calls), strict=True):
            check(found, wanted[name])


@pytest.mark.parametrize("name", ALL)
def test_an_empty_batch_has_empty_answers(loaded, name):
    signatures = loaded.signatures
    if name == "decode_ids":
        for steps in (0, 3):
            ids, lengths = tf.zeros((0, steps), tf.int32), tf.zeros((0,), tf.int32)
            found = signatures[name](ids=ids, lengths=lengths)
            assert found["ids"].shape[0] == found["truncated"].shape[0] == 0
        wanted = signatures[name](ids=tf.constant([[4]]), lengths=tf.constant([1]))
    else:
        found = call(signatures, name, [])
        wanted = call(signatures, name, ["a"])
    assert set(found) == set(wanted)
    for key, value in wanted.items():
        assert (found[key].dtype, found[key].shape.rank) == (value.dtype, value.shape.rank)
        assert found[key].shape[0] == 0


def test_a_long_text_is_cut_and_said_to_be(examples):
    """Its answer is that of its first tokens, whatever follows."""
    ours = examples[0].signatures
    long, short = ["abcdefg" + "h" * 100, "abcdefg"], ["abcdefg", "abcdefg"]
    for function in (ours.answer, ours.beam, ours.sample):
        found, wanted = function(tf.constant(long)), function(tf.constant(short))
        assert found["truncated"].numpy().tolist() == [True, False]
        assert wanted["truncated"].numpy().tolist() == [False, False]
        check({**found, "truncated": wanted["truncated"]}, wanted)
        assert found["source_pieces"].shape == (2, MAX_SOURCE_LENGTH)
    target = ["eins " * 8, "eins " * 7]
    assert ours.score(short, target)["truncated"].numpy().tolist() == [True, False]
    assert ours.score(long, target[1:] * 2)["truncated"].numpy().tolist() == [True, False]


def test_ids_beyond_the_limit(loaded):
    signature = loaded.signatures["decode_ids"]
    ids = np.full((3, 11), 5, "int32")
    found = signature(ids=tf.constant(ids), lengths=tf.constant([11, 7, 8]))
    assert found["truncated"].numpy().tolist() == [True, False, True]
    cut = signature(ids=tf.constant(ids[:, :7]), lengths=tf.constant([7, 7, 7]))
    np.testing.assert_array_equal(found["ids"], cut["ids"])
    # What is no token does not count, and what is not there either.
    found = signature(ids=tf.constant(ids[:1, :7]), lengths=tf.constant([11]))
    assert not found["truncated"].numpy().any()
