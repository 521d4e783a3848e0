import inspect
import json

import keras
import numpy as np
import pytest

import keras_attention as ka
from keras_attention.models import RNNDecoder, RNNEncoder
from tests.models.variants import VARIANTS, array, batch


def arguments(layer_class):
    names = set()
    for parent in layer_class.__mro__:
        # Mixins without a constructor of their own have none to look at.
        if parent.__module__.startswith("keras_attention") and "__init__" in vars(parent):
            names |= set(inspect.signature(parent.__init__).parameters)
    return names - {"self", "kwargs"}


OTHERS = {
    "embedding_dim": 29,
    "num_layers": 2,
    "cell": "lstm",
    "bidirectional": False,
    "dropout": 0.25,
    "tie_embeddings": True,
    "query": "current",
    "start_id": 5,
    "end_id": 7,
    "name": "other",
    "dtype": "mixed_bfloat16",
}


@pytest.mark.parametrize("layer_class", [ka.RNNSeq2Seq, RNNEncoder, RNNDecoder])
def test_the_configuration_holds_every_argument(layer_class):
    given = {"vocabulary_size": 17, "units": 11, "embedding_dim": 13}
    if layer_class is ka.RNNSeq2Seq:
        given = {"source_vocabulary_size": 19, "target_vocabulary_size": 17, "units": 11}
    known = {*arguments(layer_class), "name", "dtype"}
    given |= {k: v for k, v in OTHERS.items() if k in known}
    if "attention" in known:
        given["attention"] = ka.LuongAttention("general", dropout=0.5)
    config = layer_class(**given).get_config()
    assert known <= set(config)
    again = layer_class.from_config(config)
    assert again.get_config() == config
    for name in set(given) - {"attention", "dtype"}:
        assert config[name] == given[name]
    assert again.dtype_policy.name == "mixed_bfloat16"


def test_the_attention_of_a_configuration_is_a_layer_of_its_own():
    model = ka.RNNSeq2Seq(19, 17, units=11, attention=ka.BahdanauAttention(23, dropout=0.5))
    attention = ka.RNNSeq2Seq.from_config(model.get_config()).decoder.attention
    assert isinstance(attention, ka.BahdanauAttention)
    assert (attention.units, attention.dropout) == (23, 0.5)
    assert attention is not model.decoder.attention


def test_a_reloaded_model_is_the_same(model, tmp_path):
    inputs = batch()
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert json.dumps(again.get_config()) == json.dumps(model.get_config())  # tuples are lists
    np.testing.assert_array_equal(array(again(inputs)), array(model(inputs)))
    for a, b in zip(
        again.decode(inputs["source"], max_length=3),
        model.decode(inputs["source"], max_length=3),
        strict=True,
    ):
        np.testing.assert_array_equal(array(a), array(b))


def test_a_model_that_has_seen_no_data_decodes(variant):
    keras.utils.set_random_seed(1)
    model = variant.new_model()
    found = model.decode(batch()["source"], max_length=3)
    assert np.isfinite(array(found.score)).all()
    assert array(model(batch())).shape == (3, 2, 17)


def test_embedding_dim_is_units_by_default():
    model = ka.RNNSeq2Seq(19, 17, units=11)
    assert (model.encoder.embedding_dim, model.decoder.embedding_dim) == (11, 11)


@pytest.mark.parametrize("wanted", [True, False])
def test_a_model_keeps_to_its_own_tied_embeddings(wanted):
    model = VARIANTS[0].model(tie_embeddings=wanted)
    shapes = [tuple(w.shape) for w in model.decoder.weights]
    assert ((13, 17) in shapes or (11, 17) in shapes) is not wanted
    assert (17, 13) in shapes


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"cell": "rnn"}, "cell to be one of .*cell='rnn'"),
        ({"query": "next"}, "query to be one of .*query='next'"),
        ({"attention": "bahdanau"}, "attention='bahdanau'"),
        ({"attention": keras.layers.Dense(3)}, "attention=<Dense"),
        ({"attention": ka.MultiHeadSelfAttention(2, 3)}, "attention=<MultiHeadSelfAttention"),
        ({"num_layers": 0}, "num_layers=0"),
        ({"num_layers": 1.0}, "num_layers=1.0"),
        ({"units": 0}, "=0"),
        ({"embedding_dim": -1}, "=-1"),
        ({"dropout": -0.5}, "=-0.5"),
        ({"dropout": 1.5}, "=1.5"),
    ],
)
def test_a_bad_argument_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        ka.RNNSeq2Seq(19, 17, **{"units": 11, **arguments})


def test_a_base_class_says_what_is_missing():
    model = ka.Seq2Seq()
    with pytest.raises(NotImplementedError, match="Seq2Seq must define `prepare`"):
        model.prepare(None)
    with pytest.raises(NotImplementedError, match="Seq2Seq must define `initial_state`"):
        model.initial_state(None)
    with pytest.raises(NotImplementedError, match="Seq2Seq must define `step`"):
        model.step(None, None, None)
