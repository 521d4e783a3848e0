"""Masks that Keras attaches to tensors: used as if they were given, and handed on."""

import keras
import numpy as np
import pytest

import keras_attention as ka
from tests.arrays import as_float64, assert_close, assert_equal
from tests.conformance.cases import CASES, CROSS_CASES, DQ, HEADS, KEY_DIM, TQ
from tests.conformance.masking import CLOSE
from tests.probes import MaskProbe, with_mask

TOKENS = {
    "query": np.array([[2, 3, 0], [5, 0, 0]]),
    "value": np.array([[2, 3, 5, 7, 0], [3, 5, 0, 0, 0]]),
    "key": np.array([[2, 3, 5, 7, 0], [3, 5, 7, 0, 0]]),
}
VOCABULARY = 11


def explicit_masks(case):
    """The padding masks of `TOKENS` as arguments, and the mask of the query."""
    masks = {name: tokens != 0 for name, tokens in TOKENS.items() if name in case.sizes}
    if not case.is_cross:
        return {"mask": masks["query"]}, masks["query"]
    return {f"{name}_mask": mask for name, mask in masks.items()}, masks["query"]


def embedded(case):
    """What embeddings without masks make of the tokens, and the embeddings' weights."""
    generator = np.random.default_rng(11)
    tables = {n: generator.standard_normal((VOCABULARY, d)) for n, d in case.sizes.items()}
    tables = {n: table.astype("float32") for n, table in tables.items()}
    return {n: table[TOKENS[n]] for n, table in tables.items()}, tables


def model_of(case, layer, tables, **kwargs):
    tokens = {n: keras.Input((None,), name=n, dtype="int32") for n in case.sizes}
    vectors = {}
    for name, table in tables.items():
        embedding = keras.layers.Embedding(*table.shape, mask_zero=True)
        vectors[name] = embedding(tokens[name])
        embedding.set_weights([table])
    outputs = layer(**vectors, **kwargs)
    if kwargs.get("return_attention_scores"):
        return keras.Model(tokens, [*outputs, MaskProbe()(outputs[0])])
    return keras.Model(tokens, [outputs, MaskProbe()(outputs)])


@pytest.mark.parametrize("with_weights", [False, True])
def test_masks_of_embeddings_are_used_and_handed_on(case, with_weights):
    layer = case.built_layer()
    inputs, tables = embedded(case)
    masks, query_mask = explicit_masks(case)
    expected, expected_weights = layer(**inputs, **masks, return_attention_scores=True)
    model = model_of(case, layer, tables, return_attention_scores=with_weights)
    outputs = model({name: TOKENS[name] for name in case.sizes})
    assert_close(outputs[0], expected, **CLOSE)
    if with_weights:
        assert_close(outputs[1], expected_weights, **CLOSE)
    if not case.is_pooling:
        assert_equal(outputs[-1], query_mask)
        assert (as_float64(outputs[0])[~query_mask] == 0).all()


@pytest.mark.parametrize("case", CROSS_CASES, ids=lambda case: case.name)
def test_an_explicit_query_mask_is_handed_on(case):
    masks, query_mask = explicit_masks(case)
    output = case.built_layer()(**embedded(case)[0], **masks)
    assert_equal(MaskProbe()(output), query_mask)


@pytest.mark.parametrize("case", CROSS_CASES, ids=lambda case: case.name)
def test_a_given_mask_goes_before_an_attached_one(case):
    layer, inputs = case.built_layer(), embedded(case)[0]
    masks, query_mask = explicit_masks(case)
    attached = {name: with_mask(x, np.ones(x.shape[:2], bool)) for name, x in inputs.items()}
    output = layer(**attached, **masks)
    assert_close(output, layer(**inputs, **masks), **CLOSE)
    assert_equal(MaskProbe()(output), query_mask)


@pytest.mark.parametrize(
    "case", [c for c in CROSS_CASES if "key" not in c.sizes], ids=lambda case: case.name
)
def test_a_decoder_that_prepares_a_memory_uses_its_mask(case):
    layer, memory = case.built_layer(), embedded(case)[0]["value"]
    mask = TOKENS["value"] != 0
    prepared = layer.prepare(with_mask(memory, mask))
    for found, expected in zip(prepared, layer.prepare(memory, mask), strict=True):
        assert_equal(found, expected)
    assert as_float64(prepared[-1]).sum() < as_float64(layer.prepare(memory)[-1]).sum()


def test_no_mask_is_handed_on_where_there_was_none(case):
    output = case.built_layer()(**case.inputs())
    if not case.is_pooling:
        assert (as_float64(MaskProbe()(output)) == -1).all()


@pytest.mark.parametrize("case", [c for c in CASES if c.is_pooling], ids=lambda case: case.name)
@pytest.mark.parametrize("name", ["query", "value"])
def test_pooling_hands_no_mask_on(case, name):
    inputs, mask = embedded(case)[0]["query"], explicit_masks(case)[1]
    pooled = case.built_layer()(**{name: with_mask(inputs, mask)})
    assert getattr(pooled, "_keras_mask", None) is None
    assert_close(pooled, case.built_layer()(inputs, mask=mask), **CLOSE)


# Keras fills `mask` if there is one tensor among the arguments and `query_mask` if there are more:
# the padding must arrive however it is given and whatever comes along.
@pytest.mark.parametrize("how", ["attached", "mask", "query_mask"])
@pytest.mark.parametrize("second", [None, "value_mask", "attention_mask"])
@pytest.mark.parametrize("use_causal_mask", [False, True])
def test_self_attention_gets_its_padding_mask_whatever_comes_along(how, second, use_causal_mask):
    layer = ka.MultiHeadSelfAttention(HEADS, KEY_DIM)
    x = np.random.default_rng(0).standard_normal((2, TQ, DQ)).astype("float32")
    padding = TOKENS["query"] != 0
    further = np.array([[True, True, False], [True, True, True]])
    seconds = {
        None: {},
        "value_mask": {"value_mask": further},
        "attention_mask": {"attention_mask": np.broadcast_to(further[:, None], (2, TQ, TQ))},
    }[second]
    pairs = np.broadcast_to((padding & (further if second else True))[:, None], (2, TQ, TQ))
    pairs = pairs & np.tri(TQ, dtype=bool) if use_causal_mask else pairs
    expected = as_float64(layer(x, attention_mask=pairs)) * padding[..., None]
    kwargs = {**seconds, "use_causal_mask": use_causal_mask}
    if how == "attached":
        output = layer(with_mask(x, padding), **kwargs)
    else:
        output = layer(x, **{how: padding}, **kwargs)
    assert_close(output, expected, **CLOSE)
    assert_equal(MaskProbe()(output), padding)


def test_masks_may_be_inputs_of_a_functional_model(case):
    layer, inputs = case.built_layer(), embedded(case)[0]
    masks, _ = explicit_masks(case)
    symbolic = {name: keras.Input((None,), name=name, dtype="bool") for name in masks}
    sequences = case.symbolic_inputs()
    model = keras.Model(sequences | symbolic, layer(**sequences, **symbolic))
    assert_close(model(inputs | masks), layer(**inputs, **masks), **CLOSE)
