"""Forecasts: step by step as an oracle says, learned, kept, served."""

import keras
import numpy as np
import pytest

import keras_attention as ka
from tests.arrays import as_float64, assert_close

WINDOW, HORIZON = 7, 5


def model_of(units=3, horizon=HORIZON, attention=None, **arguments):
    keras.utils.set_random_seed(11)
    attention = ka.BahdanauAttention(2) if attention is None else attention
    model = ka.Forecaster(units, horizon, attention, **arguments)
    model.build()
    for weight in model.trainable_weights:  # biases, too, are to be seen
        weight.assign(np.random.default_rng(weight.shape[-1]).normal(0, 0.5, weight.shape))
    return model


def windows(batch=2, size=3, steps=WINDOW):
    return np.random.default_rng(5).normal(20, 3, (batch, steps, size))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def gru(weights, x, h):
    kernel, recurrent, (bias, recurrent_bias) = weights
    a, b = x @ kernel + bias, h @ recurrent + recurrent_bias
    (az, ar, ah), (bz, br, bh) = (np.split(y, 3, axis=-1) for y in (a, b))
    z = sigmoid(az + bz)
    return z * h + (1 - z) * np.tanh(ah + sigmoid(ar + br) * bh)


def oracle(model, window, steps):
    """The forecast of one window `(T, F + C)` and its weights, in float64."""
    encoder = [as_float64(w) for w in model.encoder.get_weights()]
    cell = [as_float64(w) for w in model.decoder.cell.cell.get_weights()]
    attention, (layer,) = model.decoder.cell.attentions[0], model.decoder.cell.attention_layers
    w_query, w_key = (as_float64(x.kernel) for x in (attention.query_dense, attention.key_dense))
    v = as_float64(attention.attention_v)
    (mix,) = (as_float64(w) for w in layer.get_weights())
    out, bias = (as_float64(w) for w in model.decoder.output_layer.get_weights())
    features = model.features
    seen = ~np.isnan(window).any(-1)
    mean, scale = window[seen, :features].mean(0), window[seen, :features].std(0)
    window = np.concatenate([(window[:, :features] - mean) / scale, window[:, features:]], -1)
    h, memory = np.zeros(model.units), []
    for x in window[seen]:
        h = gru(encoder, x, h)
        memory.append(h)
    memory, read, x = np.array(memory), np.zeros(model.units), window[seen][-1, :features]
    forecast, alignment = [], np.zeros((steps, len(window)))
    for step in range(steps):
        h = gru(cell, np.concatenate([x, read]), h)
        scores = np.tanh(h @ w_query + memory @ w_key) @ v
        weights = np.exp(scores) / np.exp(scores).sum()
        read = np.tanh(np.concatenate([h, weights @ memory]) @ mix)
        x = read @ out + bias
        forecast.append(x * scale + mean)
        alignment[step, seen] = weights
    return np.array(forecast), alignment


def test_each_step_reads_the_one_before():
    model, values = model_of(features=2, covariates=1), windows()
    values[1, 4:] = np.nan  # a window of four steps
    values[0, 2, 1] = np.nan  # a gap
    for steps in (None, 1, 11):
        forecast, alignment = model.forecast(values, steps, return_attention_scores=True)
        wanted = [oracle(model, window, steps or HORIZON) for window in values]
        assert_close(forecast, [one for one, _ in wanted], rtol=1e-4)
        assert_close(alignment, [one for _, one in wanted], rtol=1e-4, atol=1e-6)
    assert_close(model(values), [oracle(model, window, HORIZON)[0] for window in values], rtol=1e-4)


def test_with_a_target_each_step_reads_the_target():
    """Its own forecast as the target is what it reads without one."""
    model, values = model_of(), windows(size=1)
    forecast = model.forecast(values)
    told = model({"values": values, "target": forecast})
    assert_close(told, forecast, rtol=1e-5)
    other = as_float64(forecast) + np.array([0, 0, 3.0, 0, 0])[:, None]
    told = as_float64(model({"values": values, "target": other}))
    assert_close(told[:, :3], as_float64(forecast)[:, :3], rtol=1e-5)
    assert (np.abs(told - as_float64(forecast))[:, 3:] > 1e-3).all()


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_what_is_not_observed_changes_nothing(cell):
    """Nor does the level of a window, but for that of its forecast."""
    model, values = model_of(cell=cell), windows(size=1)
    expected = as_float64(model.forecast(values))
    gap = np.full((2, 2, 1), np.nan)
    for parts in ([gap, values], [values, gap], [values[:, :3], gap, values[:, 3:]]):
        assert_close(model.forecast(np.concatenate(parts, 1)), expected, rtol=1e-5)
    assert_close(model.forecast(1000 * values - 7), 1000 * expected - 7, rtol=1e-4)
    assert np.isfinite(as_float64(model.forecast(np.full((2, 3, 1), np.nan)))).all()
    assert_close(model.forecast(np.full((1, 3, 1), 5.0))[:, :0], np.zeros((1, 0, 1)))


def season(count, steps=WINDOW + HORIZON):
    """Windows with a period of five, a level and a trend of their own, and what follows."""
    generator = np.random.default_rng(3)
    phase, level = generator.uniform(0, 5, (count, 1)), generator.uniform(50, 90, (count, 1))
    time = np.arange(steps) + phase
    series = (level + time + 9 * np.sin(2 * np.pi * time / 5))[..., None]
    return series[:, :WINDOW], series[:, WINDOW:]


def fitted(sampling):
    keras.utils.set_random_seed(7)
    model = ka.Forecaster(13, HORIZON, ka.BahdanauAttention(11), sampling=sampling, seed=5)
    model.compile(keras.optimizers.Adam(0.02), "mae")
    past, future = season(300)
    model.fit({"values": past, "target": future}, future, batch_size=50, epochs=8, verbose=0)
    return model


@pytest.mark.parametrize("sampling", [0.0, ka.ConstantSampling(0.5)])
def test_it_learns_and_comes_back_from_a_file(tmp_path, sampling):
    model, (past, future) = fitted(sampling), season(20)
    found = model.predict(past, verbose=0)
    assert np.abs(found - future).mean() < 0.5 * np.abs(past[:, 2:] - future).mean()
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert (again.horizon, again.seed) == (HORIZON, 5)
    assert type(again.decoder.sampling) is ka.ConstantSampling
    np.testing.assert_array_equal(again.predict(past, verbose=0), found)
    if sampling:
        for one, two in zip(model.get_weights(), fitted(sampling).get_weights(), strict=True):
            np.testing.assert_array_equal(one, two)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="a SavedModel is TensorFlow's")
def test_it_is_served(tmp_path):
    from keras_attention_serving import Client
    from keras_attention_serving.server import Server

    model, values = model_of(features=2, covariates=1), windows().astype("float32")
    values[1, :3] = np.nan
    ka.export(model, tmp_path / "sales")
    with Server({"sales": tmp_path / "sales"}, port=0, host="127.0.0.1") as server:
        with Client(f"127.0.0.1:{server.port}") as client:
            for rows in (values, values[1:, 2:]):
                found = client.predict("sales", {"values": rows})
                forecast, alignment = model.forecast(rows, return_attention_scores=True)
                assert set(found) == {"forecast", "alignment"}
                assert_close(found["forecast"], forecast, rtol=1e-4)
                assert_close(found["alignment"], alignment, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_takes_any_level(policy):
    model = model_of(dtype=policy)
    forecast = model.forecast(windows(size=1) + 1e6)
    assert keras.backend.standardize_dtype(forecast.dtype) == "float32"
    assert (np.abs(as_float64(forecast) - 1e6) < 100).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"units": 0}, "units >= 1. Received: units=0"),
        ({"horizon": 2.5}, "horizon >= 1. Received: horizon=2.5"),
        ({"features": True}, "features >= 1. Received: features=True"),
        ({"covariates": -1}, "covariates >= 0. Received: covariates=-1"),
        ({"cell": "rnn"}, "cell='rnn'"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        model_of(**arguments)


def test_bad_inputs():
    model = model_of()
    with pytest.raises(
        ValueError, match=r"values \(batch, steps, 1\). Received: shape=\(2, 7, 3\)"
    ):
        model.forecast(windows())
    with pytest.raises(
        ValueError, match=r"target \(batch, steps, 1\). Received: shape=\(2, 7, 3\)"
    ):
        model({"values": windows(size=1), "target": windows()})
    with pytest.raises(ValueError, match="steps >= 1. Received: steps=-1"):
        model.forecast(windows(size=1), steps=-1)
