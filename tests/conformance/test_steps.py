"""One protocol for steps: `prepare`, `initial_state` and `step` in every class that takes steps."""

import inspect

import pytest

import keras_attention as ka

EXPORTED = [getattr(part, name) for part in (ka.layers, ka.models) for name in part.__all__]
STEPPING = [one for one in EXPORTED if hasattr(one, "step")]
# These go on with one sequence. What they know before the first step is a prompt, if anything.
WITHOUT_MEMORY = (
    ka.MultiHeadSelfAttention,
    ka.layers.DilatedConv,
    ka.layers.ByteNetBlock,
    ka.layers.ConvGluBlock,
    ka.layers.GatedConvBlock,
)
# A decoder that may have no memory makes its state of sizes.
OF_SIZES = (*WITHOUT_MEMORY, ka.TransformerDecoderBlock, ka.models.TransformerDecoder)
FORMER = {"start", "start_cache", "start_caches", "start_buffer", "advance", "read", "encode"}


def arguments(function):
    return list(inspect.signature(function).parameters)[1:]


def test_what_takes_steps():
    names = {one.__name__ for one in STEPPING}
    assert {"BahdanauAttention", "MoChA", "AttentionCell", "RNNDecoder", "WaveNet"} < names
    assert {one.__name__ for one in WITHOUT_MEMORY} < names
    assert len(names) >= 28


@pytest.mark.parametrize("stepping", STEPPING, ids=lambda one: one.__name__)
def test_the_three_methods(stepping):
    of_memory, of_sizes = stepping not in WITHOUT_MEMORY, stepping in OF_SIZES
    inputs, state, *others = arguments(stepping.step)
    assert (state, others[:1] == ["memory"]) == ("state", of_memory), inputs
    assert arguments(stepping.initial_state)[0] == ("batch_size" if of_sizes else "memory")
    assert len(arguments(stepping.prepare)) >= 2


@pytest.mark.parametrize("exported", EXPORTED, ids=lambda one: one.__name__)
def test_no_other_names(exported):
    assert not FORMER & set(dir(exported))
