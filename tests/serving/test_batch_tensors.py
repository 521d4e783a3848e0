"""Merging and splitting of tensors, with literal results."""

import numpy as np
import pytest

from keras_attention_serving import errors
from keras_attention_serving.batching.tensors import merge, num_rows, split


def rows(*values):
    return {"x:0": np.array(values, np.float32)}


def test_rows():
    assert num_rows({"a": np.zeros((3, 2)), "b": np.zeros(3)}) == 3


@pytest.mark.parametrize(
    ("feeds", "text"),
    [
        (
            {"a": np.zeros((3, 2)), "b": np.zeros(2)},
            "Batching Run() input tensors must have equal 0th-dimension size",
        ),
        (
            {"a": np.zeros(()), "b": np.zeros(2)},
            "Batching Run() input tensors must have at least one dimension",
        ),
        ({}, "Batching Run() must have at least one input tensor"),
    ],
)
def test_no_rows(feeds, text):
    with pytest.raises(errors.InvalidArgument) as caught:
        num_rows(feeds)
    assert caught.value.message == text


def test_one_request_is_left_as_it_is():
    feeds = rows([1, 2])
    assert merge([feeds], 0, False)["x:0"] is feeds["x:0"]


def test_the_first_row_of_the_last_request_fills_up():
    merged = merge([rows([1, 2]), rows([3, 5], [7, 11])], 2, False)
    assert merged["x:0"].tolist() == [[1, 2], [3, 5], [7, 11], [3, 5], [3, 5]]


def test_shapes_are_filled_up_with_the_first_element_of_each_request():
    merged = merge([rows([2, 3, 5]), rows([7], [11])], 1, True)
    assert merged["x:0"].tolist() == [[2, 3, 5], [7, 7, 7], [11, 7, 7], [7, 7, 7]]


def test_strings_keep_their_bytes():
    first, second = np.empty((1, 2), object), np.empty((1, 1), object)
    first[0] = [b"a\0", b"b"]
    second[0] = [b"c\0"]
    merged = merge([{"x:0": first}, {"x:0": second}], 1, True)
    assert merged["x:0"].tolist() == [[b"a\0", b"b"], [b"c\0", b"c\0"], [b"c\0", b"c\0"]]


@pytest.mark.parametrize(
    ("requests", "pad", "error", "text"),
    [
        (
            [rows([1, 2]), rows([3])],
            False,
            errors.FailedPrecondition,
            "Tensors with name 'x:0' from different tasks have different shapes and padding is "
            "turned off. Set pad_variable_length_inputs to true, or ensure that all tensors with "
            "the same name have equal dimensions starting with the first dim.",
        ),
        (
            [rows([1, 2]), {"x:0": np.zeros((3, 0), np.float32)}],
            True,
            errors.InvalidArgument,
            "Got empty tensor in batch of non-empty tensors.",
        ),
        (
            [{"x:0": np.zeros((1,) * 7)}, {"x:0": np.zeros((1,) * 6 + (2,))}],
            True,
            errors.InvalidArgument,
            "Only tensors with rank from 1 to 6 can be padded.",
        ),
        (
            [rows([1, 2]), rows(1)],
            True,
            errors.InvalidArgument,
            "Tensors with name 'x:0' from different tasks have different ranks.",
        ),
        (
            [rows([1, 2]), {"x:0": np.zeros((1, 2), np.int32)}],
            True,
            errors.InvalidArgument,
            "Tensors with name 'x:0' from different tasks have different types.",
        ),
    ],
)
def test_what_does_not_go_together(requests, pad, error, text):
    with pytest.raises(error) as caught:
        merge(requests, 0, pad)
    assert caught.value.message == text


def test_split():
    outputs = [np.array([[2], [3], [5], [7]]), np.array([b"a", b"b", b"c", b"d"], object)]
    parts = split(outputs, [1, 2], 1)
    assert [[array.tolist() for array in part] for part in parts] == [
        [[[2]], [b"a"]],
        [[[3], [5]], [b"b", b"c"]],
    ]


@pytest.mark.parametrize(
    ("output", "text"),
    [
        (np.zeros(()), "Batched output tensor has 0 dimensions"),
        (
            np.zeros((3, 7)),
            "Batched output tensor's 0th dimension does not equal the sum of the 0th dimension "
            "sizes of the input tensors",
        ),
    ],
)
def test_outputs_without_a_row_for_each(output, text):
    with pytest.raises(errors.FailedPrecondition) as caught:
        split([output], [1, 3], 1)
    assert caught.value.message == text
