"""Batching parameters: their text, and what is refused."""

import pytest

from keras_attention_serving import errors
from keras_attention_serving.batching.parameters import (
    Parameters,
    parse_parameters,
    read_parameters,
    read_version_parameters,
)
from keras_attention_serving.concurrency.processors import processors

TEXT = """
max_batch_size { value: 23 }
batch_timeout_micros { value: 7000 }
max_enqueued_batches { value: 3 }
num_batch_threads { value: 5 }
thread_pool_name { value: "pool" }
allowed_batch_sizes: 11
allowed_batch_sizes: 23
pad_variable_length_inputs: true
enable_large_batch_splitting { value: true }
max_execution_batch_size { value: 13 }
"""


def test_defaults():
    assert parse_parameters("", "here") == Parameters(
        max_batch_size=1000,
        batch_timeout_micros=0,
        max_enqueued_batches=10,
        num_batch_threads=processors(),
        thread_pool_name="",
        allowed_batch_sizes=(),
        pad_variable_length_inputs=False,
        enable_large_batch_splitting=False,
        max_execution_batch_size=None,
    )


def test_everything(tmp_path):
    (tmp_path / "file").write_text(TEXT)
    parameters = read_parameters(tmp_path / "file")
    assert parameters == Parameters(
        23, 7000, 3, 5, "pool", (11, 23), True, True, max_execution_batch_size=13
    )
    assert parameters.largest_batch == 13
    assert [parameters.rounded(size) for size in (1, 11, 12, 23)] == [11, 11, 23, 23]


def test_beside_a_model(tmp_path):
    assert read_version_parameters(tmp_path) is None
    (tmp_path / "batching_params.pbtxt").write_text("max_batch_size { value: 3 }")
    assert read_version_parameters(tmp_path).max_batch_size == 3


@pytest.mark.parametrize("text", ["max_batch_size: 3", "nonsense", "allowed_batch_sizes { }"])
def test_something_else(text):
    with pytest.raises(errors.InvalidArgument, match=r"^Invalid protobuf file: 'here'$"):
        parse_parameters(text, "here")


def test_no_file(tmp_path):
    with pytest.raises(errors.NotFound, match="No such file or directory"):
        read_parameters(tmp_path / "missing")


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (
            {"max_batch_size": 5, "allowed_batch_sizes": (2, 3)},
            "Last entry in allowed_batch_sizes must match max_batch_size; "
            "last entry was 3; expected 5",
        ),
        (
            {"max_batch_size": 5, "allowed_batch_sizes": (3, 2, 5)},
            "allowed_batch_sizes entries must be monotonically increasing",
        ),
        ({"max_batch_size": 0}, "max_batch_size must be positive; was 0"),
        ({"num_batch_threads": 0}, "num_batch_threads must be positive; was 0"),
        ({"batch_timeout_micros": -1}, "batch_timeout_micros must be non-negative; was -1"),
        ({"max_enqueued_batches": -1}, "max_enqueued_batches must be non-negative; was -1"),
        (
            {
                "max_batch_size": 5,
                "enable_large_batch_splitting": True,
                "max_execution_batch_size": 7,
            },
            "max_execution_batch_size must not exceed max_batch_size; was 7; max_batch_size is 5",
        ),
    ],
)
def test_refused(values, text):
    with pytest.raises(errors.InvalidArgument) as caught:
        Parameters(**values)
    assert caught.value.message == text
