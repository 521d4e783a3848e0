"""Models of one sequence: their prompts, their steps, their searches. One row for each class."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_attention as ka
from tests.models.variants import array, ids, padded

BATCH, STEPS, VOCABULARY = 3, 11, 17
PROMPTS = (5, 0, 2)

MODELS = {
    "wavenet": lambda: ka.WaveNet(
        VOCABULARY, units=7, skip_units=5, dilations=(1, 2), num_stacks=2
    ),
    "transformer": lambda: ka.TransformerLM(VOCABULARY, units=6, num_heads=3, num_layers=1),
}


@pytest.fixture(params=MODELS, scope="module")
def model(request):
    keras.utils.set_random_seed(29)
    model = MODELS[request.param]()
    model(tokens())
    generator = np.random.default_rng(31)
    for weight in model.trainable_weights:
        noise = 0.5 * generator.standard_normal(weight.shape)
        weight.assign((array(weight) + noise).astype("float32"))
    return model


def tokens(seed=0):
    found = ids((BATCH, STEPS), VOCABULARY, seed)
    found[:, 0] = 2
    return found


def prompts():
    return padded(ids((BATCH, max(PROMPTS)), VOCABULARY, seed=3), PROMPTS).astype("int32")


def test_step_by_step_is_all_at_once(model):
    target = tokens()
    expected = array(model(target))
    assert expected.shape == (BATCH, STEPS, VOCABULARY)
    memory = model.prepare(np.zeros((BATCH, 1), "int32"))
    state = model.initial_state(memory, max_length=STEPS)
    for t in range(STEPS):
        logits, state, weights = model.step(target[:, t], state, memory)
        np.testing.assert_allclose(array(logits), expected[:, t], atol=1e-5)
        assert array(weights).shape == (BATCH, 1) and not array(weights).any()


def test_a_prompt_is_the_beginning_of_the_sequence(model):
    """Prompts of different length in one batch, each followed by its target."""
    target, source = tokens(seed=1)[:, :3], prompts()
    found = array(model({"source": source, "target": target}))
    memory = model.prepare(source)
    state = model.initial_state(memory, max_length=3)
    for i, length in enumerate(PROMPTS):
        row = np.concatenate([[2], source[i, :length], target[i, 1:]])[None]
        expected = array(model(row))[0, length:]
        np.testing.assert_allclose(found[i], expected, atol=1e-5)
    for t in range(3):
        logits, state, _ = model.step(target[:, t], state, memory)
        np.testing.assert_allclose(array(logits), found[:, t], atol=1e-5)


def test_what_stands_in_the_padding_of_a_prompt_reaches_nothing(model):
    source, target = prompts(), tokens(seed=1)[:, :3]
    mask = np.arange(source.shape[1]) < np.array(PROMPTS)[:, None]
    dirty = np.where(mask, source, 13).astype("int32")
    expected = array(model({"source": source, "target": target}))
    found = array(model({"source": dirty, "target": target, "source_mask": mask}))
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_array_equal(
        array(model.decode(dirty, source_mask=mask, max_length=5).ids),
        array(model.decode(source, max_length=5).ids),
    )


def test_the_future_reaches_nothing(model):
    target = tokens()
    other = np.where(np.arange(STEPS) < 5, target, tokens(seed=9))
    expected, found = array(model(target)), array(model(other))
    np.testing.assert_allclose(found[:, :5], expected[:, :5], atol=1e-6)
    assert (np.abs(found - expected)[:, 5:].max(axis=(1, 2)) > 1e-3).all()


@pytest.mark.parametrize("search", ["generate", "draw", "beam_search"])
def test_the_score_of_an_answer_is_its_log_probability(model, search):
    source = prompts()
    if search == "beam_search":
        found = model.beam_search(source, max_length=5, beam_width=3)
        answers, lengths, scores = (array(x)[:, 0] for x in found[:3])
    else:
        seeds = np.arange(BATCH) if search == "draw" else None
        found = model.generate(source, seeds=seeds, max_length=5)
        answers, lengths, scores = (array(x) for x in found[:3])
    for i, (length, prompt) in enumerate(zip(lengths.astype(int), PROMPTS, strict=True)):
        row = np.concatenate([[2], source[i, :prompt], answers[i, :length]]).astype("int32")[None]
        logits = array(model(row))[0]
        gains = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
        said = [*answers[i, :length].astype(int), 3][: 5 if length == 5 else length + 1]
        expected = gains[np.arange(len(said)) + prompt, said].sum()
        np.testing.assert_allclose(scores[i], expected, rtol=1e-4)


def test_generation_without_prompts():
    model = MODELS["wavenet"]()
    greedy = array(model.generate(np.zeros((2, 1), "int32"), max_length=5).ids)
    np.testing.assert_array_equal(greedy[0], greedy[1])
    drawn = model.generate(np.zeros((7, 1), "int32"), seeds=np.arange(7), max_length=5)
    drawn = array(drawn.ids)
    assert drawn.shape == (7, 5) and len(np.unique(drawn, axis=0)) > 1


def test_a_reloaded_model_is_the_same(model, tmp_path):
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(array(again(tokens())), array(model(tokens())))


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="export is TensorFlow's")
def test_an_exported_model_goes_on_with_prompts(model, tmp_path):
    import tensorflow as tf

    path = ka.export(model, tmp_path / "model", max_length=5, searches=())
    served = tf.saved_model.load(path).signatures["serving_default"]
    found = served(ids=tf.constant(prompts()), lengths=tf.constant(PROMPTS, tf.int32))
    wanted = model.generate(prompts(), max_length=5)
    longest = found["ids"].shape[1]
    np.testing.assert_array_equal(found["ids"].numpy(), array(wanted.ids)[:, :longest])
    np.testing.assert_allclose(found["score"].numpy(), array(wanted.score), rtol=1e-5)


def test_a_base_class_says_what_is_missing():
    model = ka.LanguageModel()
    for name, arguments in (
        ("predict_next", (None,)),
        ("prepare_prompt", (None, None, None)),
        ("step_token", (None, None)),
    ):
        with pytest.raises(NotImplementedError, match=f"must define `{name}`"):
            getattr(model, name)(*arguments)


def test_the_receptive_field_of_wavenet():
    """The tokens that change the logits of the next are the last ones, as many as stated."""
    keras.utils.set_random_seed(1)
    model = ka.WaveNet(VOCABULARY, units=7, kernel_size=2, dilations=(1, 2, 4), num_stacks=2)
    assert model.receptive_field == 1 + (1 + 2 * 7)
    steps = 23
    target = ids((1, steps), VOCABULARY)
    others = np.repeat(target, steps, axis=0)
    others[np.arange(steps), np.arange(steps)] = target[0] % 13 + 4
    logits = array(model(np.concatenate([target, others])))[:, -1]
    seen = np.flatnonzero(np.abs(logits[1:] - logits[0]).max(axis=-1) > 1e-7)
    np.testing.assert_array_equal(seen, np.arange(steps - model.receptive_field, steps))
    memory = model.prepare(target)
    state = model.initial_state(memory)
    held = [tuple(x.shape) for x in keras.tree.flatten(state[1])]
    assert held == [(1, span, 7) for span in (1, 1, 2, 4, 1, 2, 4)]


def test_wavenet_needs_dilations():
    with pytest.raises(ValueError, match=r"dilations=\(\)"):
        ka.WaveNet(VOCABULARY, dilations=())


def test_the_configuration_of_wavenet_holds_every_argument():
    given = {"units": 11, "skip_units": 7, "kernel_size": 3, "dilations": [1, 3], "num_stacks": 2}
    given |= {"dropout": 0.25, "start_id": 5, "end_id": 7, "name": "other"}
    config = ka.WaveNet(VOCABULARY, **given).get_config()
    assert {k: config[k] for k in given} == given and config["vocabulary_size"] == VOCABULARY
    assert ka.WaveNet.from_config(config).get_config() == config


def test_a_state_has_a_row_for_each_hypothesis(model):
    state = model.initial_state(model.prepare(prompts()))
    assert all(ops.shape(x)[0] == BATCH for x in keras.tree.flatten(state))
