"""Threads for one operation: measured at load, by runs that change nothing."""

import logging

import pytest
import tensorflow as tf

from keras_attention_serving.protocol import wire
from keras_attention_serving.runtime import parallelism
from keras_attention_serving.runtime.saved_model import SavedModel


class Models(tf.Module):
    def __init__(self):
        super().__init__()
        self.count = tf.Variable(0)
        self.weights = tf.Variable(tf.eye(3))

    def steps(self, x, times):
        return tf.while_loop(lambda i, _: i < times, lambda i, y: (i + 1, y @ self.weights), (0, x))

    @tf.function(input_signature=[tf.TensorSpec([None, 3], name="x")])
    def loop(self, x):
        return {"y": self.steps(x, 7)[1]}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="x")])
    def text(self, x):
        return {"y": self.steps(tf.ones((1, 3)), 5)[1], "x": x}

    @tf.function(input_signature=[tf.TensorSpec([None, 3], name="x")])
    def plain(self, x):
        return {"y": x @ self.weights}

    @tf.function(input_signature=[tf.TensorSpec([None, 3], name="x")])
    def counting(self, x):
        times = self.count.assign_add(1)
        return {"y": self.steps(x, times)[1]}

    @tf.function(input_signature=[tf.TensorSpec([None, 3], name="x")])
    def random(self, x):
        return {"y": self.steps(x + tf.random.uniform([]), 2)[1]}

    @tf.function(input_signature=[tf.TensorSpec(None, name="x")])
    def any_rank(self, x):
        return {"y": self.steps(tf.reshape(x, (-1, 3)), 2)[1]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder, models = tmp_path_factory.mktemp("models"), Models()
    for name in ("loop", "text", "plain", "counting", "random", "any_rank"):
        tf.saved_model.save(models, str(folder / name), {"serving_default": getattr(models, name)})
    return folder


@pytest.mark.parametrize("name", ["plain", "counting", "random", "any_rank"])
def test_models_that_are_not_tried(folder, name):
    with SavedModel(folder / name) as model:
        assert model.trial is None


@pytest.mark.parametrize("name, value", [("loop", [[1, 1, 1]]), ("text", [b""])])
def test_a_trial_is_one_row(folder, name, value):
    with SavedModel(folder / name) as model:
        ((_, fed),) = model.trial.feeds.items()
        assert fed.tolist() == value
        assert len(model.run(*model.trial)) == len(model.trial.fetches)


def threads(folder, monkeypatch, one, many, **given):
    """The settings of the sessions that are made, the last one being kept, or else the first."""
    made = []

    def saved_model(config):
        made.append(wire.ConfigProto.FromString(config))
        return SavedModel(folder, config=config)

    found = iter([[many], [many, one]])
    monkeypatch.setattr(parallelism, "processors", lambda: 7)
    monkeypatch.setattr(parallelism, "_seconds", lambda models, run, rounds: next(found))
    config = wire.ConfigProto(**given).SerializeToString()
    with parallelism.load(folder, config, saved_model):
        assert all(settings.use_per_session_threads for settings in made)
        return [settings.intra_op_parallelism_threads for settings in made]


@pytest.mark.parametrize(
    "one, many, text", [(0.002, 0.003, "1 thread for"), (0.005, 0.002, "7 threads for")]
)
def test_the_faster_one_is_kept(folder, monkeypatch, caplog, one, many, text):
    with caplog.at_level(logging.INFO, "keras_attention_serving"):
        assert threads(folder / "loop", monkeypatch, one, many) == [0, 1]
    assert text in caplog.text


@pytest.mark.parametrize("name, given", [("plain", 0), ("loop", 3)])
def test_no_choice(folder, monkeypatch, name, given):
    found = threads(folder / name, monkeypatch, 1, 2, intra_op_parallelism_threads=given)
    assert found == [given]


def test_slow_runs_are_no_matter_of_threads(folder, monkeypatch):
    assert threads(folder / "loop", monkeypatch, 0.1, 0.2) == [0]


def test_measured(folder):
    with SavedModel(folder / "loop") as one, SavedModel(folder / "loop") as other:
        assert len(parallelism._seconds([one, other], one.trial, 2)) == 2
        assert parallelism._seconds([one], one.trial._replace(feeds={}), 2) is None
