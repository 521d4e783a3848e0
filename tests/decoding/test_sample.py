import keras
import numpy as np
import pytest
from keras import ops

from keras_attention.decoding import Constraints, greedy, sample
from keras_attention.decoding.sample import inverse_cdf
from tests.decoding.beam_oracle import allowing
from tests.decoding.tables import hashed_oracle, hashed_step, hashed_tables, run

BATCH, VOCABULARY, MEMORY, STEPS = 5, 7, 3, 11
IDS = {"start_id": 2, "end_id": 3}
SEEDS = np.array([11, -5, 0, 2**31 - 1, 11])


def search(tables, seeds=SEEDS, **options):
    seeds = ops.convert_to_tensor(seeds)
    return run(sample, hashed_step, *tables, seeds=seeds, **{"max_length": STEPS, **IDS, **options})


def same_model(count, seed=0):
    """One example, `count` times."""
    return [np.repeat(t, count, axis=0) for t in hashed_tables(seed, 1, VOCABULARY, MEMORY, 1.0)]


def tensor(*numbers, dtype="float32"):
    return ops.convert_to_tensor(np.array(numbers, dtype))


def test_what_is_returned_belongs_together():
    """The score is the model's, whatever was done to it for drawing."""
    tables = hashed_tables(1, BATCH, VOCABULARY, MEMORY)
    found = search(tables, temperature=1.7, top_k=5, min_p=0.01)
    for b in range(BATCH):
        after, length = hashed_oracle(*(t[b] for t in tables)), found.lengths[b]
        tokens = [int(token) for token in found.ids[b, :length]]
        chosen = tokens if length == STEPS else [*tokens, 3]
        score = sum(after((2, *tokens[:t]))[0][token] for t, token in enumerate(chosen))
        np.testing.assert_allclose(found.score[b], score, rtol=1e-5)
        for t in range(length):
            np.testing.assert_allclose(found.alignments[b, t], after((2, *tokens[:t]))[1], 1e-6)
        assert (found.ids[b, length:] == 0).all()
        assert (found.alignments[b, length:] == 0).all()
    assert len(set(found.lengths)) > 2


def test_an_answer_depends_on_its_seed_and_its_example_alone():
    tables = hashed_tables(2, BATCH, VOCABULARY, MEMORY)
    options = {
        "temperature": np.array([1, 0.5, 2, 1, 1], "float32"),
        "top_k": np.array([0, 3, 0, 5, 0], "int32"),
        "top_p": np.array([1, 1, 0.9, 0.5, 1], "float32"),
    }
    together = search(tables, **{k: ops.convert_to_tensor(v) for k, v in options.items()})
    again = search(tables, **{k: ops.convert_to_tensor(v) for k, v in options.items()})
    for a, b in zip(together, again, strict=True):
        np.testing.assert_array_equal(a, b)
    for i in (1, 3):
        one = {k: ops.convert_to_tensor(v[i : i + 1]) for k, v in options.items()}
        alone = search([t[i : i + 1] for t in tables], SEEDS[i : i + 1], **one)
        for a, b in zip(together, alone, strict=True):
            np.testing.assert_array_equal(a[i], b[0])
    # A longer search goes on where a shorter is cut off.
    short = search(
        tables, max_length=2, **{k: ops.convert_to_tensor(v) for k, v in options.items()}
    )
    np.testing.assert_array_equal(short.ids, together.ids[:, :2])


def test_equal_seeds_draw_alike_and_others_do_not():
    found = search(same_model(BATCH))
    np.testing.assert_array_equal(found.ids[0], found.ids[4])
    assert len({tuple(row) for row in found.ids}) > 2


SHAPES = [
    ({}, lambda p: p),
    ({"temperature": 2.0}, np.sqrt),
    ({"top_k": 3}, lambda p: np.where(p >= np.sort(p)[-3], p, 0)),
    ({"min_p": 0.5}, lambda p: np.where(p >= p.max() / 2, p, 0)),
]


def test_tokens_come_as_often_as_they_should():
    """Of the first tokens, and of the second where the first is the likeliest."""
    count = 4003
    tables = same_model(count * len(SHAPES), seed=3)
    neutral = {"temperature": 1.0, "top_k": 0, "min_p": 0.0}
    settings = {k: np.repeat([o.get(k, v) for o, _ in SHAPES], count) for k, v in neutral.items()}
    found = search(tables, np.arange(count * len(SHAPES)), max_length=2, **settings)
    after = hashed_oracle(*(t[0] for t in tables))
    best = int(np.argmax(after((2,))[0]))
    assert best != 3
    for ids, (_, shape) in zip(np.split(found.ids, len(SHAPES)), SHAPES, strict=True):
        seconds = ids[ids[:, 0] == best, 1]
        for tokens, history in ((ids[:, 0], (2,)), (seconds, (2, best))):
            wanted = shape(np.exp(after(history)[0]))
            # No end among the ids: it is 0 there, as is token 0.
            wanted[0], wanted[3] = wanted[0] + wanted[3], 0
            wanted *= len(tokens) / wanted.sum()
            counts = np.bincount(tokens, minlength=VOCABULARY)
            assert (counts[wanted == 0] == 0).all()
            possible = wanted > 0
            deviation = ((counts - wanted)[possible] ** 2 / wanted[possible]).sum()
            assert deviation < 18.5  # 99.5 % of the draws with 6 degrees of freedom


def test_temperature_0_and_top_1_are_greedy():
    tables = hashed_tables(4, BATCH, VOCABULARY, MEMORY)
    wanted = run(greedy, hashed_step, *tables, max_length=STEPS, **IDS)
    found = search(
        tables,
        temperature=np.array([0, 1, 1, 1, 0], "float32"),
        top_k=np.array([0, 1, 0, 0, 1]),
        top_p=np.array([1, 1, 1e-6, 1, 1], "float32"),
        min_p=np.array([0, 0, 0, 1, 1], "float32"),
    )
    np.testing.assert_array_equal(found.ids, wanted.ids)
    np.testing.assert_allclose(found.score, wanted.score, rtol=1e-5)


def test_limits_for_each_example():
    tables, max_lengths = hashed_tables(5, BATCH, VOCABULARY, MEMORY), np.array([1, 2, 3, 11, 20])
    free = search(tables)
    found = search(tables, max_lengths=ops.convert_to_tensor(max_lengths))
    np.testing.assert_array_equal(found.lengths, np.minimum(free.lengths, max_lengths))
    for row, wanted, length in zip(found.ids, free.ids, found.lengths, strict=True):
        np.testing.assert_array_equal(row[:length], wanted[:length])
        assert (row[length:] == 0).all()


@pytest.mark.parametrize("search_with", [search, None], ids=["sample", "greedy"])
def test_constraints_for_each_example(search_with):
    """What is drawn, and what is taken, is among what a plain Python version allows."""
    tables = hashed_tables(6, BATCH, VOCABULARY, MEMORY)
    tables[0][:, :, 4] += 2
    settings = [
        {"min_length": 9, "prefix": (4, 1)},
        {"no_repeat_ngram": 1},
        {"no_repeat_ngram": 2, "min_length": 3, "repetition_penalty": 1.5, "prefix": (5,)},
        {"no_repeat_ngram": 3, "repetition_penalty": 0.5},
        {"repetition_penalty": 9.0, "prefix": (6, 6, 6)},
    ]
    prefixes = [s.get("prefix", ()) for s in settings]
    constraints = Constraints(
        min_length=tensor(*(s.get("min_length", 0) for s in settings), dtype="int32"),
        repetition_penalty=tensor(*(s.get("repetition_penalty", 1) for s in settings)),
        no_repeat_ngram=tensor(*(s.get("no_repeat_ngram", 0) for s in settings), dtype="int32"),
        prefix=tensor(*((*p, 0, 0, 0)[:3] for p in prefixes), dtype="int32"),
        prefix_lengths=tensor(*map(len, prefixes), dtype="int32"),
    )
    if search_with is None:
        found = run(greedy, hashed_step, *tables, max_length=STEPS, constraints=constraints, **IDS)
    else:
        found = search_with(tables, constraints=constraints)
    for b in range(BATCH):
        after, allow = hashed_oracle(*(t[b] for t in tables)), allowing(3, **settings[b])
        tokens = [int(token) for token in found.ids[b, : found.lengths[b]]]
        for t, token in enumerate(tokens if len(tokens) == STEPS else [*tokens, 3]):
            allowed = allow(after((2, *tokens[:t]))[0], tuple(tokens[:t]))
            assert allowed[token] > -np.inf
            if search_with is None:
                assert token == np.argmax(allowed)


def test_a_number_drawn_is_in_the_share_of_its_token():
    logs = np.log(np.array([[1, 0, 2, 1, 0], [0, 0, 4, 0, 0]]) / 4 + 1e-300).astype("float32")
    logs[logs < -100] = -np.inf
    last = 1 - 2.0**-24
    drawn = np.array([0, 0.2499, 0.25, 0.7499, 0.75, last], "float32")
    for row, wanted in zip(logs, ([0, 0, 2, 2, 3, 3], [2] * 6), strict=True):
        found = inverse_cdf(
            ops.convert_to_tensor(np.tile(row, (6, 1))), ops.convert_to_tensor(drawn)
        )
        np.testing.assert_array_equal(ops.convert_to_numpy(found), wanted)


def test_rounding_never_picks_what_is_impossible():
    """Sums of many shares are not quite 1, and what comes after the last possible one is not."""
    logs = np.random.default_rng(0).standard_normal((3, 10007)).astype("float32")
    logs[:, -5000:] = -np.inf
    found = inverse_cdf(ops.convert_to_tensor(logs), tensor(0, 0.5, 1 - 2.0**-24))
    assert (ops.convert_to_numpy(found) < 5007).all()


def test_the_search_is_the_same_in_a_compiled_graph():
    if keras.backend.backend() != "tensorflow":
        pytest.skip("TensorFlow's own way to compile")
    import tensorflow as tf

    tables = hashed_tables(8, BATCH, VOCABULARY, MEMORY)
    wanted = search(tables, temperature=0.8, top_p=0.9)

    def function(logits, weights, seeds, top_p):
        batch = ops.shape(logits)[0]
        state = [ops.zeros((batch,), dtype="int32")]
        options = {"batch_size": batch, "max_length": STEPS, "temperature": 0.8, **IDS}
        return sample(hashed_step, state, (logits, weights), seeds=seeds, top_p=top_p, **options)

    specs = [tf.TensorSpec(s, d) for s, d in [((None, None, VOCABULARY), "float32")]]
    specs += [tf.TensorSpec((None, None, None), "float32"), tf.TensorSpec((None,), "int32")]
    specs.append(tf.TensorSpec((None,), "float32"))
    plain = tf.function(function, input_signature=specs, autograph=False)
    compiled = tf.function(function, jit_compile=True, autograph=False)
    inputs = [*map(tf.constant, tables), tf.constant(SEEDS, "int32"), tf.constant([0.9])]
    for found in (plain(*inputs), compiled(*inputs)):
        np.testing.assert_array_equal(found.ids, wanted.ids)
        np.testing.assert_allclose(found.score, wanted.score, rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": -1}, "temperature >= 0. Received: temperature=-1"),
        ({"top_k": -1}, "top_k >= 0. Received: top_k=-1"),
        ({"top_p": 0}, "0 < top_p <= 1. Received: top_p=0"),
        ({"top_p": 1.5}, "0 < top_p <= 1. Received: top_p=1.5"),
        ({"min_p": 2}, "0 <= min_p <= 1. Received: min_p=2"),
        ({"max_length": 0}, "max_length >= 1. Received: max_length=0"),
    ],
)
def test_options_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        search(hashed_tables(0, BATCH, VOCABULARY, MEMORY), **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_length": -1}, "min_length >= 0. Received: min_length=-1"),
        ({"repetition_penalty": 0}, "repetition_penalty > 0. Received: repetition_penalty=0"),
        ({"no_repeat_ngram": -2}, "no_repeat_ngram >= 0. Received: no_repeat_ngram=-2"),
        ({"prefix_lengths": 2}, "a prefix along with prefix_lengths"),
    ],
)
def test_constraints_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        Constraints(**options)
