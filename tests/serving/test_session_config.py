"""Flags and files to a ConfigProto, read by TensorFlow's own class."""

import pytest
from tensorflow.core.protobuf import config_pb2, rewriter_config_pb2

from keras_attention_serving import errors
from keras_attention_serving.settings.options import Options
from keras_attention_serving.settings.session_config import session_config

FILE = """
intra_op_parallelism_threads: 2
allow_soft_placement: true
gpu_options { allow_growth: true }
"""


def built(**flags):
    return config_pb2.ConfigProto.FromString(session_config(Options(**flags)))


def threads(config):
    return config.intra_op_parallelism_threads, config.inter_op_parallelism_threads


def test_nothing_by_default():
    assert built() == config_pb2.ConfigProto()


@pytest.mark.parametrize(
    ("session", "intra", "inter", "expected"),
    [
        (3, 0, 0, (3, 3)),
        (0, 5, 0, (5, 0)),
        (0, 0, 7, (0, 7)),
        (0, 5, 7, (5, 7)),
        (3, 5, 0, (5, 0)),
    ],
)
def test_threads(session, intra, inter, expected):
    config = built(
        tensorflow_session_parallelism=session,
        tensorflow_intra_op_parallelism=intra,
        tensorflow_inter_op_parallelism=inter,
    )
    assert threads(config) == expected


def test_a_file_and_what_overrides_it(tmp_path):
    path = tmp_path / "session.config"
    path.write_text(FILE)
    config = built(tensorflow_session_config_file=str(path))
    assert threads(config) == (2, 0)
    assert config.allow_soft_placement
    assert config.gpu_options.allow_growth
    config = built(
        tensorflow_session_config_file=str(path),
        tensorflow_session_parallelism=3,
        per_process_gpu_memory_fraction=0.25,
    )
    assert threads(config) == (3, 3)
    assert config.gpu_options.per_process_gpu_memory_fraction == 0.25
    assert config.gpu_options.allow_growth


def test_a_file_that_is_none(tmp_path):
    path = tmp_path / "session.config"
    path.write_text("nothing: 3")
    with pytest.raises(errors.InvalidArgument) as caught:
        built(tensorflow_session_config_file=str(path))
    assert caught.value.message == f"Invalid protobuf file: '{path}'"


def test_mixed_precision(caplog):
    rewrite = built(mixed_precision="bfloat16").graph_options.rewrite_options
    assert rewrite.auto_mixed_precision_onednn_bfloat16 == rewriter_config_pb2.RewriterConfig.ON
    assert caplog.text == ""
    assert built(mixed_precision="float16") == config_pb2.ConfigProto()
    assert "float16 auto mixed precision is not supported" in caplog.text
