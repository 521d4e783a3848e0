"""The sales that are forecast, and the program on a few of them."""

import numpy as np

from forecasting import __main__ as program
from forecasting.sales import YEAR, generate, held_back, windows


def test_windows_and_the_years_held_back():
    sales = np.arange(2 * 5 * YEAR, dtype="float64").reshape(2, -1)
    past, future = windows(sales[:, :11], 7, 3)
    assert past.shape == (4, 7, 1) and future.shape == (4, 3, 1)
    np.testing.assert_array_equal(past[3, :, 0], 61 + np.arange(7))
    np.testing.assert_array_equal(future[3, :, 0], 68 + np.arange(3))
    past, future = held_back(sales, 7, YEAR, 2)
    np.testing.assert_array_equal(future[:, 0, 0], [36, 96, 48, 108])
    np.testing.assert_array_equal(past[:, -1, 0], [35, 95, 47, 107])


def test_sales_are_those_of_the_seed():
    np.testing.assert_array_equal(generate(7, 3, 5), generate(7, 3, 5))
    assert generate(7, 3, 5).shape == (3, 60) and (generate(7, 3, 5) > 0).all()


def test_the_errors_are_those_of_the_forecasts(tmp_path):
    results, asked, wanted = program.measure(seed=1, epochs=1, dealers=2, units=5)
    assert list(results) == ["seasonal naive", "LSTM", "Forecaster"]
    np.testing.assert_array_equal(results["seasonal naive"]["forecast"], asked[:, -YEAR:])
    sales = generate(1, 2)
    off = [np.abs(row[YEAR:-24] - row[: -24 - YEAR]).mean() for row in sales]
    for result in results.values():
        errors = np.abs(result["forecast"] - wanted).mean(axis=(1, 2))
        np.testing.assert_allclose(result["mae"], errors.mean(), rtol=1e-5)
        expected = np.mean([errors[0] / off[0], errors[1] / off[1], *errors[2:] / off])
        np.testing.assert_allclose(result["mase"], expected, rtol=1e-5)
    program.save(program.draw_figure(results, asked, wanted), tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
