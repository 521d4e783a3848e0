"""Generated monthly car sales: a trend, a season, noise."""

import numpy as np

YEAR = 12


def generate(seed, dealers=40, years=15):
    """Sales of each dealer in each month, `(dealers, 12 years)`.

    Growth of up to 6 % a year that changes its course now and then, two peaks a year of a height
    and a month that are the dealer's own, and 4 % of noise.
    """
    random = np.random.default_rng(seed)
    months = np.arange(YEAR * years)
    level = random.uniform(100, 1000, (dealers, 1))
    growth = np.repeat(random.uniform(-0.02, 0.06, (dealers, -(-years // 5))), 5 * YEAR, axis=1)
    trend = np.cumsum(growth[:, : len(months)] / YEAR, axis=1)
    season = np.zeros((dealers, len(months)))
    for peaks, heights in ((1, (0.1, 0.3)), (2, (0.05, 0.2))):
        height, phase = (
            random.uniform(*heights, (dealers, 1)),
            random.uniform(0, YEAR, (dealers, 1)),
        )
        season += height * np.cos(2 * np.pi * peaks * (months - phase) / YEAR)
    noise = random.normal(0, 0.04, season.shape)
    return level * np.exp(trend + season + noise)


def windows(sales, length, horizon):
    """All windows `(N, length, 1)` of each series and the following values `(N, horizon, 1)`."""
    views = np.lib.stride_tricks.sliding_window_view(sales, length + horizon, axis=1)
    both = views.reshape(-1, length + horizon, 1).astype("float32")
    return both[:, :length], both[:, length:]


def held_back(sales, length, horizon, years):
    """Windows and targets of each of the last `years`."""
    starts = [sales.shape[1] - YEAR * n for n in range(years, 0, -1)]
    parts = [windows(sales[:, s - length : s + horizon], length, horizon) for s in starts]
    return tuple(np.concatenate(part) for part in zip(*parts, strict=True))
