"""Arguments of constructors are attributes, as in Keras' own layers."""

import inspect

import keras
import pytest

import keras_attention as ka

TRANSFORMER = {"units": 6, "num_heads": 2, "num_layers": 1, "dropout": 0.25, "norm": "post"}
CELL = {"cell": keras.layers.GRUCell(7), "attention": ka.BahdanauAttention(5)}
GIVEN = {
    ka.RNNSeq2Seq: {
        "source_vocabulary_size": 19,
        "target_vocabulary_size": 17,
        "units": 11,
        "attention": ka.LuongAttention("general"),
        "embedding_dim": 13,
        "cell": "lstm",
        "bidirectional": False,
        "tie_embeddings": False,
        "end_id": 5,
    },
    ka.TransformerSeq2Seq: {
        "source_vocabulary_size": 19,
        "target_vocabulary_size": 17,
        "max_positions": 23,
        **TRANSFORMER,
    },
    ka.TransformerLM: {"vocabulary_size": 19, "start_id": 5, **TRANSFORMER},
    ka.ByteNetSeq2Seq: {
        "source_vocabulary_size": 19,
        "target_vocabulary_size": 17,
        "units": 6,
        "dilations": [1, 3],
        "kind": "relu",
    },
    ka.ConvSeq2Seq: {
        "source_vocabulary_size": 19,
        "target_vocabulary_size": 17,
        "units": 6,
        "kernel_size": 5,
        "dropout": 0.25,
    },
    ka.WaveNet: {"vocabulary_size": 19, "units": 6, "dilations": [1, 3], "num_stacks": 2},
    ka.Forecaster: {"units": 7, "horizon": 3, "attention": ka.BahdanauAttention(5)},
    ka.MemoryNetwork: {"vocabulary_size": 19, "units": 7, "hops": 2, "memory_size": 11},
    ka.AttentionCell: {**CELL, "attention_layer_size": 3},
    ka.AttentionDecoder: {"cell": ka.AttentionCell(**CELL), "output_layer": keras.layers.Dense(2)},
}


@pytest.mark.parametrize("model_class", GIVEN)
def test_every_argument_is_an_attribute(model_class):
    given = GIVEN[model_class]
    model = model_class(**given)
    for name, value in given.items():
        assert getattr(model, name) == value, name
    names = {
        name
        for name, parameter in inspect.signature(model_class.__init__).parameters.items()
        if parameter.kind is parameter.POSITIONAL_OR_KEYWORD
    }
    # `output` of a layer is Keras' own: the symbolic tensor of its last call.
    for name in names - {"self", "output"}:
        assert not inspect.ismethod(getattr(model, name)), name


@pytest.mark.parametrize("model_class", GIVEN)
def test_other_names_are_none(model_class):
    with pytest.raises(AttributeError, match=f"{model_class.__name__}.*no attribute 'unit'"):
        model_class(**GIVEN[model_class]).unit  # noqa: B018
