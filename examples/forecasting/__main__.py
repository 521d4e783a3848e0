"""Forecasts of a held-out year of sales: prints the errors, draws forecasts and an alignment.

PYTHONPATH=examples python -m forecasting [--seed 1] [--epochs 25] [--picture FILE]

Three methods: the sales of the same month of the year before (seasonal naive), an LSTM that
computes a whole year from its last state, and a `Forecaster`, which attends to the three years
before.
"""

import time
from pathlib import Path

import click
import keras
import numpy as np
from keras import ops
from matplotlib.figure import Figure

import keras_attention as ka
from contrasts.experiment import print_table, save

from .sales import YEAR, generate, held_back, windows

LENGTH, HELD_BACK, UNITS = 3 * YEAR, 2, 48  # months of a window, years, size of states


def lstm(units=UNITS, length=LENGTH, horizon=YEAR):
    """LSTM from the same window, standardised in the same way, to a year at once."""
    values = keras.Input((length, 1))
    mean, scale = ops.mean(values, axis=1, keepdims=True), ops.std(values, axis=1, keepdims=True)
    state = keras.layers.LSTM(units)((values - mean) / scale)
    said = keras.layers.Reshape((horizon, 1))(keras.layers.Dense(horizon)(state))
    return keras.Model(values, said * scale + mean)


def train(model, inputs, future, epochs, batch_size=128):
    """Fits the model; returns the seconds."""
    steps = epochs * -(-len(future) // batch_size)
    rate = keras.optimizers.schedules.CosineDecay(0.01, steps)
    model.compile(keras.optimizers.Adam(rate, global_clipnorm=1.0), "mae")
    start = time.perf_counter()
    model.fit(inputs, future, batch_size=batch_size, epochs=epochs, verbose=0)
    return time.perf_counter() - start


def measure(seed, epochs, dealers=40, units=UNITS):
    """Forecasts of each method, their errors, and the weights of the `Forecaster`."""
    sales = generate(seed, dealers)
    known = sales[:, : -YEAR * HELD_BACK]
    past, future = windows(known, LENGTH, YEAR)
    asked, wanted = held_back(sales, LENGTH, YEAR, HELD_BACK)
    # Of each series: what a seasonal naive forecast is off by in the years of training.
    usual = np.tile(np.abs(known[:, YEAR:] - known[:, :-YEAR]).mean(axis=1), HELD_BACK)
    results = {"seasonal naive": {"seconds": 0.0, "forecast": asked[:, -YEAR:]}}
    keras.utils.set_random_seed(seed)
    peer = lstm(units)
    seconds = train(peer, past, future, epochs)
    results["LSTM"] = {"seconds": seconds, "forecast": peer.predict(asked, verbose=0)}
    keras.utils.set_random_seed(seed)
    model = ka.Forecaster(units, YEAR, ka.BahdanauAttention(units), cell="lstm")
    seconds = train(model, {"values": past, "target": future}, future, epochs)
    forecast, alignment = map(
        ops.convert_to_numpy, model.forecast(asked, return_attention_scores=True)
    )
    results["Forecaster"] = {"seconds": seconds, "forecast": forecast, "alignment": alignment}
    for result in results.values():
        errors = np.abs(result["forecast"] - wanted)[..., 0]
        result["mae"] = errors.mean()
        result["mase"] = (errors.mean(axis=1) / usual).mean()
    return results, asked, wanted


def draw_figure(results, asked, wanted, dealer=0):
    figure = Figure(figsize=(11, 4))
    series, heat = figure.subplots(1, 2, width_ratios=[3, 2])
    months = np.arange(-asked.shape[1], wanted.shape[1])
    series.plot(months, np.concatenate([asked[dealer], wanted[dealer]]), "k", label="sold")
    for name, result in results.items():
        series.plot(months[-YEAR:], result["forecast"][dealer], label=name, linewidth=1)
    series.axvline(-0.5, color="0.7", linestyle="--", linewidth=1)
    series.set(title="a dealer's sales", xlabel="month of the year that was held back")
    series.legend(fontsize=8)
    weights = results["Forecaster"]["alignment"].mean(axis=0)
    extent = (-asked.shape[1] - 0.5, -0.5, YEAR - 0.5, -0.5)
    heat.imshow(weights, aspect="auto", cmap="Blues", extent=extent, vmin=0)
    heat.set(title="attention, mean", xlabel="month attended to", ylabel="month forecast")
    return figure


@click.command()
@click.option("--seed", default=1, show_default=True, help="of weights and data")
@click.option("--epochs", default=25, show_default=True, help="of each training")
@click.option("--picture", type=Path, default=Path("docs/forecasting.png"), show_default=True)
def main(seed, epochs, picture):
    """Forecast a held-out year of sales."""
    results, asked, wanted = measure(seed, epochs)
    print_table(
        f"{len(asked)} years that were held back: cars a month off, and relative to a seasonal "
        "naive forecast of the years before",
        ("forecast", "seconds", "MAE", "MASE"),
        [
            (name, f"{r['seconds']:.0f}", f"{r['mae']:.1f}", f"{r['mase']:.3f}")
            for name, r in results.items()
        ],
    )
    save(draw_figure(results, asked, wanted), picture)


if __name__ == "__main__":
    main()
