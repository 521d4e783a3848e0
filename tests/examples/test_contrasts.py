"""The contrasts measure what they say, and each program runs."""

from pathlib import Path

import keras
import numpy as np
import pytest
from matplotlib import image

import keras_attention as ka
from contrasts import (
    cost_against_length,
    long_sentences,
    luong_table,
    memories,
    side_by_side,
    soft_and_hard,
    source_order,
    vanishing_gradients,
)
from contrasts.experiment import Right, Trainer, pack


@pytest.fixture(autouse=True)
def eagerly(monkeypatch):
    """Compiling takes longer than a few steps of a few units."""
    compiled = keras.Model.compile

    def compile(model, *args, jit_compile, **kwargs):
        compiled(model, *args, run_eagerly=True, **kwargs)

    monkeypatch.setattr(keras.Model, "compile", compile)


def test_pack_adds_start_and_end_and_pads():
    inputs, labels = pack([[7, 5], [9]], [[6], [8, 4, 5]], source_length=3)
    np.testing.assert_array_equal(inputs["source"], [[7, 5, 0], [9, 0, 0]])
    np.testing.assert_array_equal(inputs["target"], [[2, 6, 0, 0], [2, 8, 4, 5]])
    np.testing.assert_array_equal(labels, [[6, 3, 0, 0], [8, 4, 5, 3]])


def test_right_counts_tokens_and_sequences_without_padding():
    labels = np.array([[5, 3, 0, 0], [4, 6, 5, 3], [6, 3, 0, 0]])
    said = np.array([[5, 3, 4, 0], [4, 6, 4, 3], [5, 3, 0, 0]])
    right = Right.of(np.eye(7)[said], labels)
    assert right.of_tokens() == 6 / 8
    assert right.of_sequences() == 1 / 3
    assert right.of_tokens([1]) == 3 / 4
    assert right.of_sequences(np.array([True, False, False])) == 1


def tiny(attention=None):
    return ka.RNNSeq2Seq(13, 13, units=5, attention=attention)


def test_looks_do_not_change_training():
    def draw(generator):
        words = 4 + generator.integers(0, 9, (2, 3))
        return pack(words, words)

    def weights(looks):
        with Trainer(1, 3, seed=7) as trainer:
            model, _, seen = trainer.train(
                "tiny", tiny, draw, looks=looks, look=lambda m: int(m.optimizer.iterations)
            )
        return seen, [np.array(w) for w in model.get_weights()]

    (once, first), (often, second) = weights(1), weights(3)
    assert once == [3] and often == [1, 2, 3]
    for one, other in zip(first, second, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_gradient_norms_of_a_linear_network():
    """Of h_t = x_t U + h_{t-1} W, that at distance d is U W^d times that by the last state."""
    steps, features, units, classes = 7, 3, 5, 4
    keras.utils.set_random_seed(11)
    inputs = keras.Input((steps, features))
    states = keras.layers.SimpleRNN(units, activation=None, return_sequences=True)(inputs)
    model = keras.Model(inputs, keras.layers.Dense(classes)(states[:, -1:]))
    generator = np.random.default_rng(3)
    x = generator.standard_normal((2, steps, features))
    labels = np.array([[1], [3]])
    found = vanishing_gradients.gradient_norms(model, x.astype("float32"), labels)

    u, w, _, v, _ = (np.float64(a) for a in model.get_weights())
    expected = []
    for row, label in zip(x, labels[:, 0], strict=True):
        h = sum(row[steps - 1 - d] @ u @ np.linalg.matrix_power(w, d) for d in range(steps))
        p = np.exp(h @ v)
        by_state = v @ (p / p.sum() - np.eye(classes)[label])
        expected.append(
            [np.linalg.norm(u @ np.linalg.matrix_power(w, d) @ by_state) for d in range(steps)]
        )
    np.testing.assert_allclose(found, np.mean(expected, axis=0), rtol=1e-5)


def test_exponents_are_recovered():
    lengths = [16, 32, 64, 128]
    costs = [5.0, *(3e-3 * length**1.7 for length in lengths[1:])]  # the first one is left out
    assert cost_against_length.exponent(lengths, costs) == pytest.approx(1.7)


def test_peak_of_memory():
    assert cost_against_length.peak(lambda: np.ones(5_000_000)) == pytest.approx(40e6, rel=0.05)


def test_a_word_is_right_if_any_of_its_pronunciations_is():
    pairs = [("a", ["X"]), ("b", ["Y"]), ("a", ["Z"]), ("c", ["X"])]
    assert luong_table.word_error_rate([False, True, True, False], pairs) == 1 - 2 / 3


def test_fixed_concat_adds_the_query_itself():
    layer = luong_table.FixedConcat("concat", units=5)
    generator = np.random.default_rng(5)
    query, memory = (generator.standard_normal((2, n, 5)).astype("float32") for n in (3, 7))
    _, weights = layer(query, memory, return_attention_scores=True)
    kernel, v = (np.float64(w) for w in layer.get_weights())
    scores = np.tanh(query[:, :, None] + (memory @ kernel[5:])[:, None]) @ v
    expected = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
    np.testing.assert_allclose(np.array(weights), expected, rtol=1e-4)


def test_words_stand_where_the_data_say():
    inputs, labels, steps = soft_and_hard.draw(np.random.default_rng(2), batch=11, longest=5)
    assert (inputs["source"] == soft_and_hard.PAUSE).any()
    for source, label, stands in zip(inputs["source"], labels, steps, strict=True):
        words = label[label > soft_and_hard.PAUSE]
        np.testing.assert_array_equal(source[stands[stands >= 0]], words)
        assert len(words) == (source > soft_and_hard.PAUSE).sum()


def test_entropy_and_alignment():
    weights = np.array([[[0.5, 0.5, 0], [0, 0.2, 0], [0, 0, 0]]])
    np.testing.assert_allclose(soft_and_hard.entropy(weights), [[np.log(2), 0, 0]], atol=1e-12)
    assert soft_and_hard.on_the_word(weights, np.array([[0, 2, -1]])) == 1 / 2


def test_weights_that_are_shown_are_those_of_teacher_forcing():
    keras.utils.set_random_seed(5)
    model = tiny(ka.BahdanauAttention(3))
    inputs, _ = pack([[5, 6, 7], [8, 9]], [[6, 5], [9, 4, 4]])
    weights = soft_and_hard.weights_of(model, inputs)
    assert weights.shape == (2, 4, 3)
    np.testing.assert_allclose(weights.sum(-1), 1, rtol=1e-5)
    np.testing.assert_array_equal(weights[1, :, 2], 0)


def check_report(capsys, picture, *texts):
    said = capsys.readouterr().out
    for text in texts:
        assert f"| {text}" in said, said
    assert image.imread(picture).ndim == 3


def test_long_sentences(capsys, tmp_path):
    results = long_sentences.measure(2, 1, lengths=(1, 3), each=2, units=3)
    long_sentences.report(results, tmp_path / "x.png", (1, 3))
    check_report(capsys, tmp_path / "x.png", *results)
    assert len(results) == 4


def test_vanishing_gradients(capsys, tmp_path):
    results = vanishing_gradients.measure(2, 1, length=5, units=3, test=53)
    vanishing_gradients.report(results, tmp_path / "x.png", (0, 4))
    check_report(capsys, tmp_path / "x.png", *results)
    for result in results.values():
        assert result["before"].shape == (5,) and result["before"][0] == result["after"][0] == 1
        assert not np.allclose(result["before"], result["after"])  # it has learned something


def test_source_order(capsys, tmp_path):
    results = source_order.measure(
        2, 1, orders=("reversed", "both directions"), longest=3, units=3, test=2, looks=2
    )
    source_order.report(results, 2, tmp_path / "x.png")
    check_report(capsys, tmp_path / "x.png", "plain", "attention")
    assert all(len(r["curve"]) == 2 and len(r["by position"]) == 3 for r in results.values())


def test_reversed_sources_have_the_targets_of_others():
    batches = [
        source_order.batch_of(np.random.default_rng(3), order, [2, 5], 5)
        for order in ("in order", "reversed")
    ]
    np.testing.assert_array_equal(batches[0][1], batches[1][1])
    np.testing.assert_array_equal(batches[0][0]["source"][1], batches[1][0]["source"][1, ::-1])


# Hard attention has no gradient, of which Keras warns on TensorFlow.
@pytest.mark.filterwarnings("ignore:Gradients do not exist")
def test_soft_and_hard(capsys, tmp_path):
    results = soft_and_hard.measure(1, 1, ("soft", "gumbel", "hardmax", "monotonic"), 3, 3, test=3)
    soft_and_hard.report(results, tmp_path / "x.png")
    check_report(capsys, tmp_path / "x.png", *results)
    assert {name for name, r in results.items() if r["entropy"] < 1e-6} == {
        "gumbel",
        "hardmax",
        "monotonic",
    }


def test_luong_table(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(luong_table, "LONGEST", 5)
    train = [("abc", ["A", "B"]), ("cab", ["B", "A", "A"]), ("b", ["B"])]
    rows = [("global", "location"), ("local-p", "concat")]
    results = luong_table.measure(train, train[:2], 1, 1, rows=rows, units=4, batch=2)
    luong_table.report(results, tmp_path / "x.png", rows)
    check_report(capsys, tmp_path / "x.png", "none", "global", "local-p")
    assert set(results) == {
        "none",
        ("global", "location", False),
        ("global", "location", True),
        ("local-p", "concat", True),
    }
    for perplexity, words, _ in results.values():
        assert perplexity > 1 and 0 <= words <= 1


def test_cost_against_length(capsys, tmp_path):
    lengths = [5, 7, 11]
    seconds = cost_against_length.times(lengths, 2)
    assert all(len(s) == 3 and min(s) > 0 for s in seconds.values())
    memory = {name: [1e6, 2e6, 4e6] for name in seconds}
    cost_against_length.report(lengths, seconds, memory, tmp_path / "x.png")
    check_report(capsys, tmp_path / "x.png", *seconds)


def test_systems_have_as_many_weights():
    for name, system in side_by_side.SYSTEMS.items():
        model = system.make(system.width)
        model.build({"source": (None, None), "target": (None, None)})
        assert model.count_params() == pytest.approx(100_000, rel=0.03), name


@pytest.mark.parametrize("make", [memories.TuringMachine, memories.StoryReader])
def test_memories_answer_step_by_step_as_at_once(make):
    keras.utils.set_random_seed(3)
    model = make(13, 5)
    inputs, _ = pack([[7, 5, 6], [9]], [[6, 5, 7], [8]])
    expected = keras.ops.convert_to_numpy(model(inputs))
    assert np.abs(expected[0] - expected[1]).max() > 1e-4
    memory = model.prepare(inputs["source"])
    state = model.initial_state(memory, max_length=4)
    for t in range(expected.shape[1]):
        logits, state, _ = model.step(inputs["target"][:, t], state, memory)
        np.testing.assert_allclose(
            keras.ops.convert_to_numpy(logits), expected[:, t], rtol=1e-5, atol=1e-6
        )


def test_side_by_side(capsys, tmp_path):
    names = ("plain", "ConvS2S", "memory network", "Turing machine")
    results = side_by_side.measure(2, 1, names, 4, 2, lengths=(1, 3), each=2, looks=2)
    side_by_side.report(results, 2, tmp_path / "x.png", (1, 3))
    check_report(capsys, tmp_path / "x.png", *names)
    for result in results.values():
        assert len(result["curve"]) == len(result["sequences"]) == 2
        assert result["step"] > 0 and result["decoding"] > 0


def test_the_page_has_every_program_and_its_picture():
    root = Path(__file__).parents[2]
    page = (root / "docs" / "contrasts.md").read_text("utf-8")
    programs = [
        p for p in (root / "examples" / "contrasts").glob("*.py") if "__main__" in p.read_text()
    ]
    assert len(programs) == 7
    for program in programs:
        assert f"`contrasts.{program.stem} " in page
        assert f"({program.stem}.png)" in page
        assert (root / "docs" / f"{program.stem}.png").stat().st_size < 120_000
