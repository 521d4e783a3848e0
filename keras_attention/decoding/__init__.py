"""Search over a step function; knows no layer and no model."""

from keras_attention.decoding.greedy import greedy as greedy
from keras_attention.decoding.hypotheses import Hypotheses as Hypotheses
from keras_attention.decoding.step import StepFunction as StepFunction

__all__ = ["Hypotheses", "StepFunction", "greedy"]
