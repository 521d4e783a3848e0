"""Teacher forcing, scheduled sampling and search with one cell."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_attention as ka
from keras_attention.decoding import greedy
from tests.arrays import as_float64, assert_close, assert_equal
from tests.gradients import gradients

B, T, TV, DM, UNITS, V, DX = 2, 5, 3, 11, 13, 17, 7
CLOSE = {"rtol": 1e-4, "atol": 1e-5}
TARGET = np.array([[2, 5, 7, 11, 3], [2, 13, 3, 5, 7]])
MEMORY = np.random.default_rng(0).standard_normal((B, TV, DM)).astype("float32")
MASK = np.array([[True, True, False], [True, True, True]])


def of_tokens(attention=None, **kwargs):
    keras.utils.set_random_seed(7)
    attention = attention or ka.BahdanauAttention(5)
    cell = ka.AttentionCell(keras.layers.GRUCell(UNITS), attention, attention_layer_size=UNITS)
    decoder = ka.AttentionDecoder(
        cell, keras.layers.Dense(V), keras.layers.Embedding(V, DX), **kwargs
    )
    decoder(TARGET, MEMORY)
    return decoder


def of_vectors(**kwargs):
    keras.utils.set_random_seed(7)
    cell = ka.AttentionCell(
        keras.layers.GRUCell(UNITS), ka.CoverageAttention(ka.LuongAttention("general"))
    )
    return ka.AttentionDecoder(cell, keras.layers.Dense(DX), **kwargs)


def tensors():
    return ops.convert_to_tensor(MEMORY), ops.convert_to_tensor(MASK)


def vectors():
    return np.random.default_rng(1).standard_normal((B, T, DX)).astype("float32")


ATTENTIONS = {
    "bahdanau": lambda: ka.BahdanauAttention(5),
    "monotonic": lambda: ka.MonotonicAttention(ka.BahdanauAttention(5)),
    "two": lambda: [ka.BahdanauAttention(5), ka.CoverageAttention(ka.BahdanauAttention(3))],
}


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_teacher_forcing_equals_steps(attention):
    decoder = of_tokens(ATTENTIONS[attention]())
    logits, weights = decoder(TARGET, MEMORY, memory_mask=MASK, return_attention_scores=True)
    weights = weights[0] if decoder.cell.is_list else weights
    prepared = decoder.prepare(*tensors())
    state = decoder.initial_state(prepared)
    for t in range(T):
        token = ops.convert_to_tensor(TARGET[:, t])
        found, state, now = decoder.step(token, state, prepared)
        assert_close(found, as_float64(logits)[:, t], **CLOSE)
        assert_close(now, as_float64(weights)[:, t], **CLOSE)


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_greedy_search_through_the_same_step(attention):
    decoder = of_tokens(ATTENTIONS[attention]())
    prepared = decoder.prepare(*tensors())
    state = decoder.initial_state(prepared)
    found = greedy(decoder.step, state, prepared, batch_size=B, start_id=2, end_id=3, max_length=T)
    ids, lengths = as_float64(found.ids).astype(int), as_float64(found.lengths).astype(int)
    inputs = np.concatenate([np.full((B, 1), 2), ids[:, :-1]], 1)
    wanted = as_float64(decoder(inputs, MEMORY, memory_mask=MASK)).argmax(-1)
    for b in range(B):
        assert_equal(ids[b, : lengths[b]], wanted[b, : lengths[b]])


def test_sampling_always_reads_what_it_drew():
    """With a peaked softmax a draw is the likeliest token: sampling is then greedy search."""
    decoder = of_tokens(sampling=1.0, seed=3)
    kernel, bias = decoder.output_layer.get_weights()
    decoder.output_layer.set_weights([kernel * 1e4, bias])
    logits = as_float64(decoder(TARGET, MEMORY, memory_mask=MASK, training=True))
    inputs = np.concatenate([TARGET[:, :1], logits.argmax(-1)[:, :-1]], axis=1)
    assert_close(decoder(inputs, MEMORY, memory_mask=MASK), logits, rtol=1e-3, atol=1e-2)
    assert (inputs != TARGET).any()


def test_draws_follow_the_softmax():
    decoder = of_tokens(sampling=1.0, seed=3)
    many = 5000
    shares = as_float64(decoder(TARGET[:1], MEMORY[:1]))[0, 0]
    shares = np.exp(shares) / np.exp(shares).sum()
    uniform = keras.random.uniform((many, 1), seed=5)
    previous, _, _ = _first_output(decoder)
    previous = ops.convert_to_tensor(np.repeat(previous[:1], many, 0).astype("float32"))
    given = ops.zeros((many, DX))
    said = as_float64(decoder._choose(given, previous, ops.ones((many, 1), "bool"), uniform))
    table = as_float64(decoder.embedding.embeddings)
    tokens = np.abs(said[:, None] - table[None]).sum(-1).argmin(-1)
    assert_close(np.bincount(tokens, minlength=V) / many, shares, atol=0.03)


def _first_output(decoder):
    prepared = decoder.prepare(ops.convert_to_tensor(MEMORY))
    state = decoder.initial_state(prepared)
    inputs = decoder.embedding(ops.convert_to_tensor(TARGET[:, 0]))
    output, state, weights = decoder.cell.step(inputs, state, prepared)
    return as_float64(output), state, weights


def test_sampling_over_outputs():
    decoder = of_vectors(sampling=1.0)
    inputs = vectors()
    found = as_float64(decoder(inputs, MEMORY, training=True))
    fed = np.concatenate([inputs[:, :1], found[:, :-1]], axis=1).astype("float32")
    assert_close(decoder(fed, MEMORY), found, **CLOSE)
    assert np.abs(as_float64(decoder(inputs, MEMORY)) - found).max() > 1e-3


def test_the_next_input_of_ones_own():
    decoder = of_vectors(sampling=1.0, next_input=keras.layers.Dense(DX, "tanh"))
    inputs = vectors()
    found = as_float64(decoder(inputs, MEMORY, training=True))
    said = as_float64(decoder.next_input(found.astype("float32")))
    fed = np.concatenate([inputs[:, :1], said[:, :-1]], axis=1).astype("float32")
    assert_close(decoder(fed, MEMORY), found, **CLOSE)


def test_some_steps_read_the_target_and_some_do_not():
    decoder, many = of_vectors(sampling=0.25, seed=3), 500
    inputs = np.repeat(vectors()[:1], many, 0)
    decoder(inputs[:B], MEMORY)
    own, _ = decoder._draws(ops.convert_to_tensor(inputs))
    own = as_float64(own)[..., 0]
    assert (own[:, 0] == 0).all()
    assert_close(own[:, 1:].mean(), 0.25, atol=0.05)


def test_inference_reads_the_target_alone():
    taught, sampled = of_tokens(), of_tokens(sampling=0.9)
    assert_close(sampled(TARGET, MEMORY), taught(TARGET, MEMORY), rtol=1e-6)
    assert not taught.samples
    assert sampled.samples


def test_a_schedule_counts_training_steps():
    decoder = of_tokens(sampling=ka.LinearSampling(0.5))
    expected = as_float64(decoder(TARGET, MEMORY))
    assert_close(decoder(TARGET, MEMORY, training=True), expected, rtol=1e-6)  # step 0: none
    decoder(TARGET, MEMORY)
    assert int(as_float64(decoder.iterations)) == 1
    decoder(TARGET, MEMORY, training=True)
    found = as_float64(decoder(TARGET, MEMORY, training=True))  # step 2: all
    assert np.abs(found - expected).max() > 1e-4
    assert int(as_float64(decoder.iterations)) == 3


@pytest.mark.parametrize("sampling", [0.0, ka.InverseSigmoidSampling(2.0)])
def test_fit_save_and_load(sampling, tmp_path):
    target, memory = keras.Input((None,), dtype="int32"), keras.Input((None, DM))
    model = keras.Model([target, memory], of_tokens(sampling=sampling, seed=3)(target, memory))
    model.compile("adam", ka.SequenceCrossentropy(), jit_compile=False)
    labels = np.roll(TARGET, -1, axis=1)
    losses = model.fit([TARGET, MEMORY], labels, epochs=4, verbose=0).history["loss"]
    assert np.isfinite(losses).all()
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    given = [TARGET[:, :2], MEMORY]
    assert_close(loaded(given), model(given), rtol=1e-5, atol=1e-6)
    if sampling:
        assert int(as_float64(loaded.layers[-1].iterations)) == 4


def test_gradients_go_through_what_was_put_out():
    """Only the first vector is read from the inputs: the third output learns of it alone."""
    decoder, inputs = of_vectors(sampling=1.0), vectors()
    decoder(inputs, MEMORY)

    def third(outputs):
        return ops.sum(ops.square(outputs[:, 2]))

    memory = ops.convert_to_tensor(MEMORY)
    found = gradients(decoder, {"target": inputs}, third, memory=memory, training=True)["target"]
    assert np.abs(found[:, 0]).max() > 1e-4
    assert (found[:, 1:] == 0).all()


def test_arguments_that_make_no_sense():
    with pytest.raises(ValueError, match="Received: cell=3"):
        ka.AttentionDecoder(3, keras.layers.Dense(3))
    cell = ka.AttentionCell(keras.layers.GRUCell(3), ka.LuongAttention())
    dense, embedding = keras.layers.Dense(3), keras.layers.Embedding(3, 3)
    with pytest.raises(ValueError, match="Received: next_input="):
        ka.AttentionDecoder(cell, dense, embedding, next_input=dense)
    with pytest.raises(ValueError, match="Received: probability=1.5"):
        ka.AttentionDecoder(cell, dense, embedding, sampling=1.5)
