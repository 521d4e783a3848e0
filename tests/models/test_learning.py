"""What `fit` makes of a model, on every backend."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_attention as ka
from tests.gradients import gradients
from tests.models.variants import VARIANTS, array, bahdanau, batch, ids, padded

LABELS = np.array([[5, 6], [7, 3], [3, 0]])


@pytest.mark.parametrize("policy", ["float32", "mixed_float16", "mixed_bfloat16"])
def test_a_policy_changes_the_precision_and_nothing_else(policy):
    inputs = batch()
    expected = array(VARIANTS[0].model()(inputs))
    model = VARIANTS[0].model(dtype=policy, attention_arguments={"dtype": policy})
    found = model(inputs)
    assert keras.backend.standardize_dtype(found.dtype) == model.compute_dtype
    tolerance = {"float32": 0, "mixed_float16": 0.03, "mixed_bfloat16": 0.3}[policy]
    np.testing.assert_allclose(array(found), expected, atol=tolerance)
    answers = model.decode(inputs["source"], max_length=3)
    assert keras.backend.standardize_dtype(answers.score.dtype) == "float32"
    assert np.isfinite(array(answers.score)).all()
    # What is computed is the same in a graph, which takes longer to make than this to run.
    model.compile("sgd", loss=ka.SequenceCrossentropy(), run_eagerly=policy != "mixed_float16")
    assert np.isfinite(model.fit(inputs, LABELS, verbose=0).history["loss"]).all()


def test_gradients_reach_every_weight(variant):
    keras.backend.clear_session()
    model = variant.model()

    class Loss(keras.layers.Layer):
        """The model as a layer of one input."""

        def __init__(self):
            super().__init__()
            self.model = model
            self.built = True

        def call(self, scale):
            return self.model(batch()) * scale

    found = gradients(Loss(), {"scale": np.ones((), "float32")})
    assert all(np.isfinite(gradient).all() for gradient in found.values())
    paths = [weight.path for weight in model.trainable_weights]
    # What rounding leaves of a gradient of 0 is in proportion to the others.
    least = 1e-6 * max(10.0, *(np.abs(found[path]).max() for path in paths))
    unreached = [path for path in paths if np.abs(found[path]).max() < least]
    # A bias that adds the same to all scores of a query is nothing to the softmax.
    ineffective = {"scorer": 1, "heads": 1, "heads_current": 1}
    ineffective |= {"transformer_relative": 3}
    assert len(unreached) == ineffective.get(variant.name, 0)
    assert all(path.endswith(("key/bias", "dense_1/bias")) for path in unreached)


def test_dropout_acts_in_training_alone():
    model = VARIANTS[0].model(dropout=0.5, attention_arguments={"dropout": 0.5, "seed": 3})
    plain, inputs = VARIANTS[0].model(), batch()
    model.set_weights(plain.get_weights())
    calm = array(model(inputs))
    np.testing.assert_array_equal(array(model(inputs, training=False)), calm)
    first, second = array(model(inputs, training=True)), array(model(inputs, training=True))
    assert np.abs(first - calm).max() > 0.01
    assert np.abs(first - second).max() > 0.01
    np.testing.assert_allclose(calm, array(plain(inputs)), atol=1e-6)


@pytest.mark.parametrize("query", ["previous", "current"])
def test_attention_dropout_drops_weights_of_the_memory(query):
    """With nearly everything dropped, the logits are those of a memory of zeros."""
    inputs = batch()
    drops = {"dropout": 0.999999, "seed": 3}
    model = VARIANTS[0].model(query=query, attention_arguments=drops)
    memory, state = model.encoder(inputs["source"], source_mask=inputs["source"] != 0)
    nothing = model.decoder(inputs["target"], ops.zeros_like(memory), state)
    dropped = model.decoder(inputs["target"], memory, state, training=True)
    np.testing.assert_allclose(array(dropped), array(nothing), atol=1e-5)
    whole = model.decoder(inputs["target"], memory, state)
    assert np.abs(array(whole) - array(nothing)).max() > 0.01


@pytest.mark.parametrize(
    ("attention", "query"),
    [(bahdanau, "previous"), (lambda **a: ka.MultiHeadCrossAttention(2, 3, **a), "current")],
    ids=["bahdanau", "heads"],
)
def test_fit_with_every_kind_of_dropout(attention, query):
    keras.utils.set_random_seed(7)
    layer = attention(dropout=0.25)
    model = ka.RNNSeq2Seq(19, 17, units=11, attention=layer, query=query, dropout=0.25)
    model.compile(
        "adam",
        loss=ka.SequenceCrossentropy(label_smoothing=0.1),
        metrics=[ka.TokenAccuracy(), ka.SequenceAccuracy()],
    )
    inputs = batch()
    model(inputs)
    model.optimizer.build(model.trainable_weights)  # or else Keras traces the step twice
    history = model.fit(inputs, LABELS, epochs=3, batch_size=3, verbose=0).history
    assert set(history) == {"loss", "token_accuracy", "exact_match"}
    assert np.isfinite(history["loss"]).all()
    # No tensor of the compiled step has stayed behind in a layer.
    again = array(model(inputs)), array(model.decode(inputs["source"], max_length=2).score)
    assert all(np.isfinite(x).all() for x in again)
    assert np.isfinite(model.evaluate(inputs, LABELS, verbose=0)).all()


def reversals(count, seed):
    """Sources of 2 to 5 tokens among 4 to 8; labels: the same from right to left, then the end."""
    generator = np.random.default_rng(seed)
    lengths = generator.integers(2, 6, count)
    source = padded(ids((count, 5), 9, seed), lengths).astype("int32")
    labels = np.zeros((count, 6), "int32")
    for i, length in enumerate(lengths):
        labels[i, : length + 1] = [*source[i, :length][::-1], 3]
    target = np.where(labels[:, :-1] == 3, 0, labels[:, :-1])
    target = np.pad(target, [(0, 0), (1, 0)], constant_values=2)
    return {"source": source, "target": target}, labels


def exact_match(attention, epochs=9):
    keras.utils.set_random_seed(11)
    model = ka.RNNSeq2Seq(9, 9, units=24, attention=attention, bidirectional=True)
    model.compile(keras.optimizers.Adam(0.01), loss=ka.SequenceCrossentropy())
    inputs, labels = reversals(1024, seed=1)
    model.fit(inputs, labels, epochs=epochs, batch_size=32, verbose=0)
    inputs, labels = reversals(128, seed=2)
    found = model.decode(inputs["source"], max_length=6)
    expected = np.where(labels == 3, 0, labels)
    right = (ops.convert_to_numpy(found.ids) == expected).all(axis=1)
    return right.mean(), model, inputs, found


def test_a_model_learns_to_reverse_and_attends_where_it_must():
    with_attention, model, inputs, found = exact_match(ka.BahdanauAttention(24))
    assert with_attention > 0.95
    # Token t of the answer is token length - 1 - t of the source: so the alignment says.
    alignments, lengths = array(found.alignments), (inputs["source"] != 0).sum(axis=1)
    hits = [
        abs(alignments[i, t].argmax() - (n - 1 - t)) <= 1
        for i, n in enumerate(lengths)
        for t in range(n)
    ]
    assert np.mean(hits) > 0.7
    without, *_ = exact_match(None, epochs=4)
    assert 0.02 < without < with_attention
