import warnings

import numpy as np
import pytest
from matplotlib.figure import Figure

from keras_attention.plotting import plot_alignment, save_alignment

SOURCE, TARGET = ["▁3", "▁", "may", "2021", "."], ["2021", "-", "05"]
PNG = b"\x89PNG\r\n\x1a\n"


def weights(rows=3, columns=5):
    return np.random.default_rng(0).dirichlet(np.ones(columns), rows)


def labels(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def test_the_picture_holds_the_weights_and_the_pieces():
    figure = plot_alignment(weights(), SOURCE, TARGET, title="2021-05")
    axes = figure.axes[0]
    (image,) = axes.get_images()
    np.testing.assert_array_equal(image.get_array(), weights())
    assert image.get_clim() == (0, 1)
    assert labels(axes.xaxis) == ["3", "␣", "may", "2021", "."]
    assert labels(axes.yaxis) == TARGET
    assert axes.get_title() == "2021-05"
    assert plot_alignment(weights(), SOURCE, TARGET).axes[0].get_title() == ""


@pytest.mark.parametrize(
    ("shape", "source", "target"),
    [
        ((5, 3), SOURCE, TARGET),
        ((3,), SOURCE, TARGET),
        ((3, 5), SOURCE[1:], TARGET),
        ((0, 5), SOURCE, []),
        ((3, 0), [], TARGET),
    ],
)
def test_a_shape_that_does_not_fit(shape, source, target):
    with pytest.raises(ValueError, match=r"alignment.shape=\(" + ", ".join(map(str, shape))):
        plot_alignment(np.zeros(shape), source, target)


def test_what_the_client_gives_is_drawn_as_it_is():
    given = answer()
    parts = (given[name][1] for name in ("alignment", "source_pieces", "target_pieces"))
    axes = plot_alignment(*parts, title="2021-05").axes[0]
    (image,) = axes.get_images()
    np.testing.assert_allclose(image.get_array(), weights(), rtol=1e-6)  # padding is left out
    assert labels(axes.xaxis) == ["3", "␣", "may", "2021", "."]
    assert labels(axes.yaxis) == TARGET


def test_a_notebook_gets_a_picture():
    """What IPython asks of an object that is the last line of a cell."""
    figure = plot_alignment(weights(), ["\ue000", *SOURCE[1:]], TARGET)
    assert isinstance(figure, Figure)
    assert figure._repr_png_().startswith(PNG)


def answer(source=SOURCE, target=TARGET):
    """The outputs of a signature: two examples, padded, the second as given."""

    def pieces(rows):
        return np.array([[p.encode() for p in row] for row in rows], object)

    alignment = np.zeros((2, len(target) + 2, len(source) + 1), "float32")
    alignment[1, : len(target), : len(source)] = weights(len(target), len(source))
    return {
        "alignment": alignment,
        "source_pieces": pieces([["x"] * (len(source) + 1), [*source, ""]]),
        "target_pieces": pieces([["y"] * (len(target) + 2), [*target, "", ""]]),
    }


def test_a_file_is_written(tmp_path, monkeypatch):
    from keras_attention import plotting

    drawn = []
    plot = plotting.plot_alignment
    monkeypatch.setattr(plotting, "plot_alignment", lambda *a: drawn.append(a) or plot(*a))
    path = tmp_path / "new" / "alignment.png"
    save_alignment(path, answer(), index=1, title="title")
    assert path.read_bytes().startswith(PNG)
    ((alignment, source, target, title),) = drawn
    np.testing.assert_allclose(alignment, weights(), rtol=1e-6)  # without what is padding
    assert (source, target, title) == (SOURCE, TARGET, "title")
    save_alignment(tmp_path / "alignment.svg", answer(), index=1)
    assert b"<svg" in (tmp_path / "alignment.svg").read_bytes()


@pytest.mark.parametrize(
    "pieces",
    [
        ["日", "本", "語"],
        ["한국어", "ไทย", "🙂"],
        ["\ue000", "ꙮ", "\U0001f9ff"],
        ["$", "$x^$", "$\\frac$"],
        ["a" * 60, "<b>", "\t"],
    ],
    ids=["cjk", "scripts", "no_font", "dollars", "odd"],
)
def test_any_text_can_be_drawn(tmp_path, pieces):
    """Under pytest a warning is an error: none of a missing glyph may come."""
    path = tmp_path / "alignment.png"
    save_alignment(path, answer(pieces, pieces), index=1, title=" ".join(pieces))
    assert path.read_bytes().startswith(PNG)


def test_one_piece(tmp_path):
    save_alignment(tmp_path / "one.png", answer(["a"], ["b"]), index=1)
    assert (tmp_path / "one.png").stat().st_size > 1000


def test_an_empty_answer_cannot_be_drawn(tmp_path):
    with pytest.raises(ValueError, match="one each at least"):
        save_alignment(tmp_path / "none.png", answer(SOURCE, []), index=1)


def test_the_rest_of_the_process_keeps_its_warnings(tmp_path):
    before = list(warnings.filters)
    save_alignment(tmp_path / "a.png", answer(), index=1)
    assert warnings.filters == before
