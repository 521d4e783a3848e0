import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_attention.text import Batches

END, START = 3, 2


def corpus(count, seed=0):
    """Sources that are all different, of random length; the target repeats the first token."""
    generator = np.random.default_rng(seed)
    sources = [
        np.array([100 + i, *generator.integers(4, 50, generator.integers(0, 30))], "int32")
        for i in range(count)
    ]
    return sources, [source[:1].repeat(1 + len(source) % 3) for source in sources]


def epoch(batches):
    return list(batches)


def first_tokens(batches):
    return [batch["source"][:, 0].tolist() for batch, _ in batches]


def test_a_batch_by_hand():
    sources = [np.array([7, 8, 9]), np.array([5])]
    targets = [np.array([11]), np.array([13, 12, 17])]
    ((inputs, labels),) = Batches(sources, targets, 2)
    np.testing.assert_array_equal(inputs["source"], [[5, 0, 0], [7, 8, 9]])
    np.testing.assert_array_equal(inputs["target"], [[START, 13, 12, 17], [START, 11, 0, 0]])
    np.testing.assert_array_equal(labels, [[13, 12, 17, END], [11, END, 0, 0]])
    assert {x.dtype for x in (*inputs.values(), labels)} == {np.dtype("int32")}


def test_empty_sequences_have_a_step():
    ((inputs, labels),) = Batches([np.array([], "int32")] * 2, [np.array([], "int32")] * 2, 2)
    np.testing.assert_array_equal(inputs["source"], [[0], [0]])
    np.testing.assert_array_equal(inputs["target"], [[START], [START]])
    np.testing.assert_array_equal(labels, [[END], [END]])


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 60), st.integers(1, 13), st.none() | st.integers(0, 3))
def test_every_pair_is_seen_once_in_every_epoch(count, batch_size, seed):
    sources, targets = corpus(count)
    batches = Batches(sources, targets, batch_size, seed)
    for _ in range(2):
        found = epoch(batches)
        assert len(found) == len(batches) == -(-count // batch_size)
        seen = {}
        for inputs, labels in found:
            for source, target, label in zip(
                inputs["source"], inputs["target"], labels, strict=True
            ):
                length = np.argmax(label == END)
                seen[source[0]] = source[source > 0].tolist(), label[:length].tolist()
                np.testing.assert_array_equal(label[length + 1 :], 0)
                np.testing.assert_array_equal(target[: length + 1], [START, *label[:length]])
                np.testing.assert_array_equal(target[length + 1 :], 0)
        expected = {s[0]: (s.tolist(), t.tolist()) for s, t in zip(sources, targets, strict=True)}
        assert seen == expected
        sizes = sorted(len(labels) for _, labels in found)
        assert sum(sizes) == count
        assert sizes[1:] == [batch_size] * (len(sizes) - 1)


def test_an_epoch_is_shuffled_anew_and_repeatable():
    sources, targets = corpus(67)
    one, two, other = (Batches(sources, targets, 5, seed) for seed in (1, 1, 2))
    first, second = first_tokens(epoch(one)), first_tokens(epoch(one))
    assert [first_tokens(epoch(two)), first_tokens(epoch(two))] == [first, second]
    assert {tuple(sorted(b)) for b in first} != {tuple(sorted(b)) for b in second}
    assert first_tokens(epoch(other)) != first
    two.epoch = 1
    assert first_tokens(epoch(two)) == second


def test_an_epoch_that_is_left_early_is_an_epoch():
    sources, targets = corpus(67)
    one, two = Batches(sources, targets, 5, 1), Batches(sources, targets, 5, 1)
    epoch(one)
    next(iter(two))
    assert first_tokens(epoch(two)) == first_tokens(epoch(one))


def test_without_a_seed_the_order_is_that_of_length():
    sources, targets = corpus(67)
    batches = Batches(sources, targets, 5)
    first = first_tokens(epoch(batches))
    assert first_tokens(epoch(batches)) == first
    by_length = sorted(range(67), key=lambda i: (len(sources[i]), i))
    assert sum(first, []) == [100 + i for i in by_length]


def test_sorted_windows_pad_less_than_chance():
    sources, targets = corpus(1009)

    def padding(batches):
        cells = [batch["source"] for batch, _ in batches]
        return sum((c == 0).sum() for c in cells) / sum(c.size for c in cells)

    by_chance = padding(
        Batches(sources, targets, 11, seed=1)._batch(rows)
        for rows in np.array_split(np.random.default_rng(0).permutation(1009), 92)
    )
    assert padding(Batches(sources, targets, 11, seed=1)) < 0.2 * by_chance


def test_dataset():
    sources, targets = corpus(23)
    dataset, plain = (Batches(sources, targets, 5, seed=1) for _ in range(2))
    dataset = dataset.dataset()
    assert dataset.cardinality().numpy() == 5
    for _ in range(2):
        found = [(inputs["source"].numpy(), labels.numpy()) for inputs, labels in dataset]
        for (source, labels), (inputs, expected) in zip(found, plain, strict=True):
            np.testing.assert_array_equal(source, inputs["source"])
            np.testing.assert_array_equal(labels, expected)


@pytest.mark.parametrize(("sources", "targets"), [([], []), ([[1]], []), ([[1]], [[2], [3]])])
def test_unequal_lists_are_refused(sources, targets):
    message = f"and one at least. Received: {len(targets)} and {len(sources)}"
    with pytest.raises(ValueError, match=message):
        Batches(sources, targets, 5)


@pytest.mark.parametrize("batch_size", [0, -1, 2.5])
def test_a_batch_size_that_is_none_is_refused(batch_size):
    with pytest.raises(ValueError, match=f"batch_size={batch_size}"):
        Batches([[1]], [[2]], batch_size)


@pytest.mark.parametrize("parts", [1, 2, 3, 7])
def test_the_parts_of_a_pass_are_the_pass(parts):
    whole = corpus(53)
    one, many = (Batches(*whole, 5, seed=3, parts=n) for n in (1, parts))
    for _ in range(2):
        together = [batch for _ in range(parts) for batch in epoch(many)]
        assert first_tokens(together) == first_tokens(epoch(one))


def test_more_parts_than_batches():
    with pytest.raises(ValueError, match="1 to 2 parts.*Received: parts=3"):
        Batches(*corpus(7), 5, parts=3)


def test_each_part_by_its_number_is_of_known_size():
    """63 batches in two parts: 31 and 32, whichever was asked for before."""
    sources = [np.array([4 + i]) for i in range(63)]
    batches = Batches(sources, sources, 1, seed=3, parts=2)
    wanted = [first_tokens(epoch(batches)) for _ in range(4)]
    assert batches.dataset().cardinality().numpy() < 0  # unknown
    for number in (3, 0, 2, 1):
        dataset = batches.dataset(number)
        assert dataset.cardinality().numpy() == (31, 32)[number % 2]
        for _ in range(2):
            found = [inputs["source"].numpy()[:, 0].tolist() for inputs, _ in dataset]
            assert found == wanted[number]
