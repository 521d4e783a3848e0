"""Search over a step function; knows no layer and no model."""

from keras_attention.decoding.beam_search import beam_search as beam_search
from keras_attention.decoding.constraints import Constraints as Constraints
from keras_attention.decoding.greedy import greedy as greedy
from keras_attention.decoding.hypotheses import Hypotheses as Hypotheses
from keras_attention.decoding.hypotheses import NBest as NBest
from keras_attention.decoding.sample import sample as sample
from keras_attention.decoding.step import StepFunction as StepFunction
from keras_attention.decoding.step import with_repeated_memory as with_repeated_memory

__all__ = [
    "Constraints",
    "Hypotheses",
    "NBest",
    "StepFunction",
    "beam_search",
    "greedy",
    "sample",
    "with_repeated_memory",
]
