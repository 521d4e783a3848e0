import io
import shutil

import keras
import numpy as np
import pytest
from rich.console import Console

import keras_attention as ka
from keras_attention.training import architectures
from keras_attention.training import trainer as training
from keras_attention.training.run_folder import RunFolder
from tests.tiny_run import (
    DEV,
    EPOCHS,
    SMALLEST,
    TRAIN,
    quiet,
    settings,
    stopped_after,
    train,
    trained,
)

FILES = {"settings.json", "source.model", "target.model", "state.json", "model.keras"}
FILES |= {"training.npz"}


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
    # The longest have 10 and 11 characters: half as many again, and one.
    assert folder.settings() == settings(epochs=EPOCHS, max_length=16, max_source_length=17)
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


def _given_losses(monkeypatch, losses):
    """Makes the losses on the development set what a test says."""
    losses, end = iter(losses), training._KeepBest.on_epoch_end
    monkeypatch.setattr(
        training._KeepBest,
        "on_epoch_end",
        lambda self, epoch, logs: end(self, epoch, {"val_loss": next(losses)}),
    )


def test_the_best_model_is_kept_and_the_last_gone_on_from(tmp_path, monkeypatch):
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
    assert epochs == [0, 1, 2]  # each shuffled by its own number

    before = folder.model_path.read_bytes()
    assert training.resume(folder, TRAIN, DEV, quiet()).epoch == []  # nothing is left
    assert folder.model_path.read_bytes() == before

    history = training.resume(folder, TRAIN, DEV, quiet(), epochs=4)
    assert history.epoch == [3]
    assert folder.settings().epochs == 4
    assert folder.state() == {"epoch": 4, "best": 0.5}
    assert int(folder.load_model().optimizer.iterations) == 16
    assert epochs[3:] == [3]

    best = folder.model_path.read_bytes()
    assert training.resume(folder, TRAIN, DEV, quiet(), epochs=5).epoch == [4]
    assert folder.state() == {"epoch": 4, "best": 0.5}
    assert folder.model_path.read_bytes() == best
    with pytest.raises(ValueError, match="epochs >= 5, which are done. Received: epochs=4"):
        training.resume(folder, TRAIN, DEV, quiet(), epochs=4)


@pytest.mark.parametrize(("after", "epoch", "steps"), [(2, 0, 2), (6, 1, 4)])
def test_ctrl_c_keeps_a_model(tmp_path, after, epoch, steps):
    folder = RunFolder(tmp_path / "run")
    with stopped_after(after):
        training.train(folder, TRAIN, DEV, settings(**SMALLEST), quiet())
    assert {path.name for path in folder.path.iterdir()} == FILES
    assert folder.state()["epoch"] == epoch
    assert int(folder.load_model().optimizer.iterations) == steps
    history = training.resume(folder, TRAIN, DEV, quiet())
    assert history.epoch == list(range(epoch, 2))
    assert int(folder.load_model().optimizer.iterations) == 8
    assert np.isfinite(folder.state()["best"])


def test_a_run_without_what_it_goes_on_from(tmp_path):
    folder = RunFolder(tmp_path / "run")
    with pytest.raises(ValueError, match="run: Expected a run with a model.*Received: none"):
        training.resume(folder, TRAIN, DEV, quiet())
    assert not folder.path.exists()
    shutil.copytree(trained().path, folder.path)
    with pytest.raises(ValueError, match="run: Expected a new folder, or --resume"):
        training.train(folder, TRAIN, DEV, settings(), quiet())
    kept = folder.path / "training.npz"
    kept.write_bytes(b"no zip")
    with pytest.raises(ValueError, match=r"training.npz: Expected .* Received: another file"):
        training.resume(folder, TRAIN, DEV, quiet())
    kept.unlink()
    with pytest.raises(ValueError, match=r"run: Expected .*training.npz. Received: a run without"):
        training.resume(folder, TRAIN, DEV, quiet())


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
    folder, history = train(tmp_path / "run", **changed, schedule="noam", ema_momentum=0.5)
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
    folder, history = train(tmp_path / "run", epochs=2, validations_per_epoch=2, **SMALLEST)
    assert len(history["loss"]) == 4
    # Four batches a pass: the best model is that after the first pass.
    assert folder.state() == {"epoch": 2, "best": 1.0}
    assert int(folder.load_model().optimizer.iterations) == 4


def test_looks_that_do_not_divide_a_pass(tmp_path):
    """Four batches in three parts, each pass with no step more than batches."""
    folder, history = train(tmp_path / "run", epochs=2, validations_per_epoch=3, **SMALLEST)
    assert len(history["loss"]) == 6
    assert folder.state()["epoch"] == 6
    assert int(folder.load_model().optimizer.iterations) == 8


class _Average(keras.callbacks.Callback):
    """Averages the weights after each step, in NumPy."""

    def __init__(self, momentum):
        super().__init__()
        self.momentum = momentum
        self.average = None
        self.steps = 0

    def on_train_batch_begin(self, batch, logs=None):
        if self.average is None:
            self.average = self._weights()

    def on_train_batch_end(self, batch, logs=None):
        momentum = min(self.momentum, (1 + self.steps) / (10 + self.steps))
        self.steps += 1
        pairs = zip(self.average, self._weights(), strict=True)
        self.average = [momentum * a + (1 - momentum) * w for a, w in pairs]

    def _weights(self):
        return [np.array(w.numpy(), "float64") for w in self.model.trainable_weights]


# After eight steps 8 / 17 is the highest momentum that the start allows.
@pytest.mark.parametrize("momentum", [0.25, 0.999])
def test_the_model_that_is_kept_is_an_average_of_weights(tmp_path, monkeypatch, momentum):
    fit, average = keras.Model.fit, _Average(momentum)
    with monkeypatch.context() as patch:
        patch.setattr(
            keras.Model,
            "fit",
            lambda self, *a, callbacks, **k: fit(self, *a, callbacks=[average, *callbacks], **k),
        )
        options = {"epochs": 2, "ema_momentum": momentum, "clip_norm": 0.0, **SMALLEST}
        folder, history = train(tmp_path / "run", **options)
    assert folder.state()["epoch"] == 2
    model = folder.load_model()
    for weight, expected in zip(model.trainable_weights, average.average, strict=True):
        np.testing.assert_allclose(weight.numpy(), expected, atol=1e-6)
    # What is measured is what is kept.
    assert dev_loss(folder) == pytest.approx(folder.state()["best"], rel=1e-5)
    assert history["val_loss"][1] == folder.state()["best"]
    assert model.optimizer.global_clipnorm is None
    assert folder.settings().ema_momentum == momentum


def test_averaging_does_not_change_what_is_trained(tmp_path):
    """The average is in the model to be looked at, and then out again to the bit."""
    (one, _), (two, _) = (
        train(tmp_path / str(m), ema_momentum=m, validations_per_epoch=2, **SMALLEST)
        for m in (0.0, 0.999)
    )
    for a, b in zip(*(f.load_training()[2]["model"] for f in (one, two)), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("others", [9.0, 0.1])
def test_the_average_of_the_last_models_is_kept_if_it_is_the_best(tmp_path, monkeypatch, others):
    looks, keep = [], training._KeepBest.keep

    def noted(self, model, epoch, loss):
        looks.append([weight.numpy() for weight in model.trainable_weights])
        keep(self, model, epoch, loss)

    monkeypatch.setattr(training._KeepBest, "keep", noted)
    _given_losses(monkeypatch, [others] * 4)
    folder, _ = train(
        tmp_path / "run", epochs=2, validations_per_epoch=2, average_checkpoints=3, **SMALLEST
    )
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
