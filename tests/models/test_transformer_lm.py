"""The language model: prompts of different length, in a cache, are as each of them alone."""

import json

import keras
import numpy as np
import pytest
from keras import ops

import keras_attention as ka
from tests.models.variants import array, ids, padded

VOCABULARY, LENGTHS, STEPS = 19, (5, 0, 3), 4


def small(**arguments):
    keras.utils.set_random_seed(3)
    options = {"units": 12, "num_heads": 3, "num_layers": 2, "feedforward_dim": 7, **arguments}
    model = ka.TransformerLM(VOCABULARY, **options)
    model.build((None, None))
    generator = np.random.default_rng(5)
    for weight in model.trainable_weights:
        noise = 0.3 * generator.standard_normal(weight.shape)
        weight.assign((array(weight) + noise).astype("float32"))
    return model


@pytest.fixture(scope="module")
def model():
    return small()


def prompts():
    return padded(ids((len(LENGTHS), max(LENGTHS)), VOCABULARY), LENGTHS).astype("int32")


def log_probabilities(model, text):
    """Of every token at every place of one text, which begins with the start token."""
    logits = array(model(np.array([text], "int32")))[0]
    return logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))


@pytest.mark.parametrize("positions", ["rotary", "learned", "alibi"])
def test_greedy_answers_are_those_of_the_whole_text(positions):
    model = small(positions=positions, max_positions=13)
    found = model.generate(prompts(), max_length=STEPS)
    answers, scores = ops.convert_to_numpy(found.ids), array(found.score)
    for i, length in enumerate(LENGTHS):
        text, score = [2, *prompts()[i, :length]], 0.0
        for token in answers[i]:
            last = log_probabilities(model, text)[-1]
            best = int(last.argmax())
            score += last[best]
            text.append(best)
            if best == model.end_id:
                break
            assert token == best
        assert scores[i] == pytest.approx(score, rel=1e-4)


def test_a_mask_says_what_is_padding(model):
    mask = np.arange(5) < np.array(LENGTHS)[:, None]
    dirty = np.where(mask, prompts(), 7).astype("int32")
    wanted = model.generate(prompts(), max_length=STEPS)
    found = model.generate(dirty, mask, max_length=STEPS)
    np.testing.assert_array_equal(array(found.ids), array(wanted.ids))
    np.testing.assert_allclose(array(found.score), array(wanted.score), rtol=1e-5)


def test_the_best_of_a_beam_has_its_log_probability(model):
    found = model.beam_search(prompts(), max_length=STEPS, beam_width=3, n_best=3)
    answers, lengths = ops.convert_to_numpy(found.ids), ops.convert_to_numpy(found.lengths)
    for i, n in np.ndindex(len(LENGTHS), 3):
        text = [2, *prompts()[i, : LENGTHS[i]], *answers[i, n, : lengths[i, n]]]
        labels = [*text[1:], model.end_id]
        gains = log_probabilities(model, text)[np.arange(len(text)), labels]
        score = gains[LENGTHS[i] :].sum()
        if lengths[i, n] == STEPS:  # cut off: without an end
            score -= gains[-1]
        assert array(found.log_probability)[i, n] == pytest.approx(score, rel=1e-4)
    given = model.log_probability(prompts(), answers[:, 0], target_lengths=lengths[:, 0])
    ended = lengths[:, 0] < STEPS
    np.testing.assert_allclose(
        array(given)[ended], array(found.log_probability)[ended, 0], rtol=1e-4
    )


def test_a_prompt_and_what_follows_are_one_text(model):
    target = ids((len(LENGTHS), STEPS), VOCABULARY, seed=2)
    target[:, 0] = 2
    found = array(model({"source": prompts(), "target": target}))
    for i, length in enumerate(LENGTHS):
        text = [2, *prompts()[i, :length], *target[i, 1:]]
        wanted = array(model(np.array([text], "int32")))[0, length:]
        np.testing.assert_allclose(found[i], wanted, atol=1e-5)


def test_samples_depend_on_their_seeds_alone(model):
    seeds = np.array([7, 11, 13])
    together = array(model.sample(prompts(), seeds, max_length=STEPS).ids)
    alone = array(model.sample(prompts()[2:, :3], seeds[2:], max_length=STEPS).ids)
    np.testing.assert_array_equal(together[2:], alone)
    others = array(model.sample(prompts(), seeds + 1, max_length=STEPS).ids)
    assert (together != others).any()


def test_a_reloaded_model_is_the_same(model, tmp_path):
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert json.dumps(again.get_config()) == json.dumps(model.get_config())
    text = ids((2, 3), VOCABULARY)
    np.testing.assert_array_equal(array(again(text)), array(model(text)))


def test_it_learns_to_count():
    """Each token is followed by the next number: of prompts at places of their own."""
    keras.utils.set_random_seed(1)
    model = ka.TransformerLM(VOCABULARY, units=24, num_heads=2, num_layers=1)
    model.compile(keras.optimizers.Adam(0.02), ka.SequenceCrossentropy(), jit_compile=False)
    numbers = 4 + (np.arange(15)[:, None] + np.arange(6)) % 15
    texts = np.concatenate([np.full((15, 1), 2), numbers[:, :-1]], axis=1)
    model.fit(texts, numbers, batch_size=15, epochs=30, verbose=0)
    found = model.generate(np.array([[5, 0], [16, 17]]), max_length=4)
    np.testing.assert_array_equal(array(found.ids), [[6, 7, 8, 9], [18, 4, 5, 6]])


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="exports from TensorFlow")
def test_an_exported_model_goes_on_with_prompts(model, tmp_path):
    import tensorflow as tf

    path = ka.export(model, tmp_path / "lm", max_length=STEPS, searches=())
    served = tf.saved_model.load(path).signatures["serving_default"]
    dirty = np.where(prompts() == 0, 7, prompts()).astype("int32")  # as a server pads
    found = served(ids=tf.constant(dirty), lengths=tf.constant(LENGTHS, tf.int32))
    wanted = model.generate(prompts(), max_length=STEPS)
    longest = int(array(wanted.lengths).max())
    np.testing.assert_array_equal(found["ids"], array(wanted.ids)[:, :longest])
    np.testing.assert_allclose(found["score"], array(wanted.score), rtol=1e-5)
