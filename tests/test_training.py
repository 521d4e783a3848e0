import dataclasses
import io

import keras
import numpy as np
import pytest
from rich.console import Console

import keras_attention as ka
from keras_attention import architectures, training
from keras_attention.run_folder import RunFolder
from tests.tiny_run import DEV, EPOCHS, SMALLEST, TRAIN, quiet, settings, train, trained

FILES = {"settings.json", "source.model", "target.model", "state.json", "model.keras"}


def weights(folder):
    return folder.load_model().get_weights()


def assert_same_weights(one, two):
    for a, b in zip(weights(one), weights(two), strict=True):
        np.testing.assert_array_equal(a, b)


def dev_loss(folder):
    batches = training.Batches(*training._tokens(DEV, folder.tokenizers()), 64)
    return folder.load_model().evaluate(batches.dataset(), verbose=0, return_dict=True)["loss"]


def test_a_run():
    folder = trained()
    assert {path.name for path in folder.path.iterdir()} == FILES
    assert folder.settings() == settings(
        epochs=EPOCHS, max_length=16
    )  # 10 characters, half as many again, one
    assert 1 < folder.state()["epoch"] <= EPOCHS
    assert dev_loss(folder) == pytest.approx(folder.state()["best"], rel=1e-5)
    # 200 lines in batches of 64: four steps in an epoch.
    assert int(folder.load_model().optimizer.iterations) == 4 * folder.state()["epoch"]


def test_the_same_seed_gives_the_same_model(tmp_path):
    written = io.StringIO()
    console = Console(file=written, force_terminal=True, width=160, highlight=False)
    again, history = train(tmp_path / "again", console, epochs=EPOCHS)
    assert_same_weights(again, trained())
    assert set(history) >= {"loss", "val_loss", "val_token_accuracy", "val_exact_match"}
    for shown in ("epoch 1/12  ", "epoch 12/12", "val_exact_match", "48/48"):
        assert shown in written.getvalue()


def _more_epochs(folder, epochs):
    changed = dataclasses.replace(folder.settings(), epochs=epochs)
    folder._write_json("settings.json", dataclasses.asdict(changed))


def _given_losses(monkeypatch, losses):
    """Makes the losses on the development set what a test says."""
    losses, end = iter(losses), training._KeepBest.on_epoch_end
    monkeypatch.setattr(
        training._KeepBest,
        "on_epoch_end",
        lambda self, epoch, logs: end(self, epoch, {"val_loss": next(losses)}),
    )


def test_the_best_model_is_kept_and_gone_on_from(tmp_path, monkeypatch):
    epochs, rows = [], training.Batches._rows

    def noted(self, epoch):
        if self.seed is not None:
            epochs.append(epoch)
        return rows(self, epoch)

    monkeypatch.setattr(training.Batches, "_rows", noted)
    _given_losses(monkeypatch, [3.0, 1.0, 2.0, 0.5, 99.0])
    folder, _ = train(tmp_path / "run", epochs=3, **SMALLEST)
    assert folder.state() == {"epoch": 2, "best": 1.0}
    assert int(folder.load_model().optimizer.iterations) == 8
    assert epochs[-3:] == [0, 1, 2]  # each shuffled by its own number

    history = training.resume(folder, TRAIN, DEV, quiet())
    assert history.epoch == [2]
    assert folder.state() == {"epoch": 3, "best": 0.5}
    assert int(folder.load_model().optimizer.iterations) == 12
    assert epochs[-1] == 2

    best = weights(folder)
    _more_epochs(folder, 4)
    training.resume(folder, TRAIN, DEV, quiet())
    assert folder.state() == {"epoch": 3, "best": 0.5}
    for a, b in zip(weights(folder), best, strict=True):
        np.testing.assert_array_equal(a, b)


class _Interrupt(keras.callbacks.Callback):
    """Presses Ctrl-C after so many batches in all."""

    def __init__(self, after):
        super().__init__()
        self.left = after

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


@pytest.mark.parametrize(("after", "epoch", "steps"), [(2, 0, 2), (6, 1, 4)])
def test_ctrl_c_keeps_a_model_to_go_on_from(tmp_path, monkeypatch, after, epoch, steps):
    fit = keras.Model.fit
    interrupt = _Interrupt(after)
    monkeypatch.setattr(
        keras.Model,
        "fit",
        lambda self, *a, callbacks, **k: fit(self, *a, callbacks=[*callbacks, interrupt], **k),
    )
    folder = RunFolder(tmp_path / "run")
    with pytest.raises(KeyboardInterrupt):
        training.train(folder, TRAIN, DEV, settings(**SMALLEST), quiet())
    assert {path.name for path in folder.path.iterdir()} == FILES
    assert folder.state()["epoch"] == epoch
    assert int(folder.load_model().optimizer.iterations) == steps
    history = training.resume(folder, TRAIN, DEV, quiet())
    assert history.epoch == list(range(epoch, 2))
    assert int(folder.load_model().optimizer.iterations) == steps + 4 * (2 - epoch)
    assert np.isfinite(folder.state()["best"])


def test_ctrl_c_before_the_first_step(tmp_path, monkeypatch):
    def fit(*args, **kwargs):
        raise KeyboardInterrupt

    folder = RunFolder(tmp_path / "run")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(keras.Model, "fit", fit)
        training.train(folder, TRAIN, DEV, settings(epochs=1, **SMALLEST), quiet())
    training.resume(folder, TRAIN, DEV, quiet())
    whole, _ = train(tmp_path / "whole", epochs=1, **SMALLEST)
    assert folder.state()["epoch"] == 1
    assert whole.state() == pytest.approx(folder.state())


def test_a_loss_that_is_no_number_ends_the_run(tmp_path, monkeypatch):
    _given_losses(monkeypatch, [2.0, float("nan")])
    with pytest.raises(ValueError, match="finite loss.*Received: nan after epoch 2"):
        train(tmp_path / "run", **SMALLEST)
    assert RunFolder(tmp_path / "run").state() == {"epoch": 1, "best": 2.0}


@pytest.mark.parametrize("attention", sorted(architectures.ATTENTIONS))
def test_every_attention_makes_a_model(attention):
    one_way = {"bidirectional": False} if attention == "luong-dot" else {}
    model = architectures.build_model(settings(attention=attention, units=5, **one_way), 11, 13)
    expected = {"none": type(None), "scorer": ka.TimeDistributedScorer}
    assert isinstance(model.decoder.attention, expected.get(attention, keras.layers.Layer))
    found = model.decode(np.array([[5, 6, 7]]), max_length=2)
    assert np.isfinite(found.score).all()


def test_settings_reach_the_model():
    changed = settings(
        query="current",
        attention_units=7,
        cell="lstm",
        units=5,
        embedding_dim=3,
        layers=2,
        bidirectional=False,
        dropout=0.25,
        tie_embeddings=True,
    )
    config = architectures.build_model(changed, 11, 13).get_config()
    assert config["attention"]["config"]["units"] == 7
    expected = {
        **{"source_vocabulary_size": 11, "target_vocabulary_size": 13, "units": 5},
        **{"query": "current", "embedding_dim": 3, "num_layers": 2, "cell": "lstm"},
        **{"bidirectional": False, "dropout": 0.25, "tie_embeddings": True},
    }
    assert config.items() >= expected.items()


def test_settings_reach_a_transformer():
    changed = settings(
        architecture="transformer",
        units=6,
        heads=3,
        feedforward_dim=7,
        layers=2,
        norm="post",
        positions="alibi",
        dropout=0.25,
        tie_embeddings=True,
    )
    config = architectures.build_model(changed, 11, 13).get_config()
    expected = {
        **{"source_vocabulary_size": 11, "target_vocabulary_size": 13, "units": 6},
        **{"num_heads": 3, "feedforward_dim": 7, "num_layers": 2, "norm": "post"},
        **{"positions": "alibi", "dropout": 0.25, "tie_embeddings": True},
    }
    assert config.items() >= expected.items()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("bytenet", {"num_stacks": 2, "dilations": [1, 2, 4, 8, 16]}),
        ("convs2s", {"num_layers": 2, "embedding_dim": 3}),
    ],
)
def test_settings_reach_convolutional_models(name, expected):
    changed = {"units": 6, "kernel_size": 5, "layers": 2, "embedding_dim": 3, "dropout": 0.25}
    model = architectures.build_model(settings(architecture=name, **changed), 11, 13)
    expected |= {"source_vocabulary_size": 11, "target_vocabulary_size": 13}
    expected |= {"units": 6, "kernel_size": 5, "dropout": 0.25}
    assert model.get_config().items() >= expected.items()


def test_a_transformer_is_trained_and_kept(tmp_path):
    changed = {"architecture": "transformer", "units": 6, "heads": 2, "feedforward_dim": 5}
    folder, history = train(tmp_path / "run", **changed, schedule="noam", averaging=0.5)
    assert history["loss"][1] < history["loss"][0]
    model = folder.load_model()
    assert isinstance(model, ka.TransformerSeq2Seq)
    schedule = model.optimizer.get_config()["learning_rate"]
    assert schedule["registered_name"] == "keras_attention>InverseSquareRoot"


@pytest.mark.parametrize("name", ["attention", "architecture"])
def test_an_unknown_name_is_refused(name):
    with pytest.raises(ValueError, match=f"{name} to be one of .*{name}='bahdanou'"):
        architectures.build_model(settings(**{name: "bahdanou"}), 11, 13)


def test_targets_keep_their_case():
    pairs = [("Jan Ab", "Jan Ab")] * 3
    source, target = training.train_tokenizers(pairs, settings())
    assert source.vocabulary_size == len(set("jan▁b")) + 4
    assert target.vocabulary_size == len(set("Jan▁Ab")) + 4


def test_looks_between_the_ends_of_a_pass(tmp_path, monkeypatch):
    _given_losses(monkeypatch, [3.0, 1.0, 2.0, 1.5])
    folder, history = train(tmp_path / "run", epochs=2, looks=2, **SMALLEST)
    assert len(history["loss"]) == 4
    # Four batches a pass: the best model is that after the first pass.
    assert folder.state() == {"epoch": 2, "best": 1.0}
    assert int(folder.load_model().optimizer.iterations) == 4


def test_looks_that_do_not_divide_a_pass(tmp_path):
    """Four batches in three parts, without a warning, which would be an error here."""
    _, history = train(tmp_path / "run", epochs=1, looks=3, **SMALLEST)
    assert len(history["loss"]) == 3


class _Average(keras.callbacks.Callback):
    """Averages the weights after each step, in NumPy."""

    def __init__(self, momentum):
        super().__init__()
        self.momentum = momentum
        self.average = None

    def on_train_batch_end(self, batch, logs=None):
        weights = [np.array(w.numpy(), "float64") for w in self.model.trainable_weights]
        pairs = zip(self.average or weights, weights, strict=True)
        self.average = [self.momentum * a + (1 - self.momentum) * w for a, w in pairs]


def test_the_model_that_is_kept_is_an_average_of_weights(tmp_path, monkeypatch):
    fit, average = keras.Model.fit, _Average(0.75)
    with monkeypatch.context() as patch:
        patch.setattr(
            keras.Model,
            "fit",
            lambda self, *a, callbacks, **k: fit(self, *a, callbacks=[average, *callbacks], **k),
        )
        options = {"epochs": 2, "averaging": 0.75, "clip_norm": 0.0, **SMALLEST}
        folder, _ = train(tmp_path / "run", **options)
    assert folder.state()["epoch"] == 2
    model = folder.load_model()
    for weight, expected in zip(model.trainable_weights, average.average, strict=True):
        np.testing.assert_allclose(weight.numpy(), expected, atol=1e-6)
    # What is measured is what is kept.
    assert dev_loss(folder) == pytest.approx(folder.state()["best"], rel=1e-5)
    assert model.optimizer.global_clipnorm is None
    assert folder.settings().averaging == 0.75
    _more_epochs(folder, 3)
    history = training.resume(folder, TRAIN, DEV, quiet())
    assert history.epoch == [2]
    assert np.isfinite(history.history["val_loss"]).all()


@pytest.mark.parametrize("others", [9.0, 0.1])
def test_the_average_of_the_last_models_is_kept_if_it_is_the_best(tmp_path, monkeypatch, others):
    looks, keep = [], training._KeepBest.keep

    def noted(self, loss):
        looks.append([weight.numpy() for weight in self.model.trainable_weights])
        keep(self, loss)

    monkeypatch.setattr(training._KeepBest, "keep", noted)
    _given_losses(monkeypatch, [others] * 4)
    folder, _ = train(tmp_path / "run", epochs=2, looks=2, average_last=3, **SMALLEST)
    *before, average = looks
    for weight, *values in zip(average, *before[1:], strict=True):
        np.testing.assert_allclose(weight, np.mean(values, axis=0), atol=1e-6)
    kept = [weight.numpy() for weight in folder.load_model().trainable_weights]
    for weight, wanted in zip(kept, average if others == 9.0 else before[0], strict=True):
        np.testing.assert_array_equal(weight, wanted)
    if others == 9.0:
        assert dev_loss(folder) == pytest.approx(folder.state()["best"], rel=1e-5)


def test_gradients_are_clipped_by_their_norm_as_one():
    optimizer = trained().load_model().optimizer
    assert (optimizer.global_clipnorm, optimizer.use_ema) == (1.0, False)
