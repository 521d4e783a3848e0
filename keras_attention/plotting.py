"""Alignments as heat maps."""

import functools
import io
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import font_manager
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

# Matplotlib's own font has Latin, Greek and Cyrillic. For the rest it looks where the system has
# something; it takes a glyph from the first font in the list that has it.
FONTS = (
    "DejaVu Sans",
    "Noto Sans CJK JP",
    "Noto Sans CJK SC",
    "Hiragino Sans",
    "PingFang SC",
    "Microsoft YaHei",
    "Yu Gothic",
    "Malgun Gothic",
    "WenQuanYi Zen Hei",
    "Noto Sans Arabic",
    "Noto Sans Devanagari",
    "Noto Sans Thai",
    "Arial Unicode MS",
    "Unifont",
)


class NotebookFigure(Figure):
    """A figure that shows itself in a notebook, without pyplot and its global state."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        _write(self, buffer)
        return buffer.getvalue()


def plot_alignment(
    alignment: ArrayLike,
    source_pieces: Sequence[str | bytes] | np.ndarray[Any, Any],
    target_pieces: Sequence[str | bytes] | np.ndarray[Any, Any],
    title: str | None = None,
) -> NotebookFigure:
    """Draws what each target piece attended to.

    Args:
        alignment: float array `(Tt, Ts)`, the attention weights.
        source_pieces: Ts strings, the columns; or bytes, as the client gives them. Empty ones at
            the end are padding, which is not drawn.
        target_pieces: Tt strings or bytes, the rows.
        title: text above the picture.

    Returns:
        A `matplotlib.figure.Figure`, which notebooks show; `figure.savefig(path)` writes it.

    Raises:
        ValueError: the alignment has another shape than the pieces ask for.
    """
    alignment = np.asarray(alignment, dtype="float64")
    expected = (len(target_pieces), len(source_pieces))
    source_pieces, target_pieces = _without_padding(source_pieces), _without_padding(target_pieces)
    rows, columns = len(target_pieces), len(source_pieces)
    if alignment.shape != expected or 0 in (rows, columns):
        raise ValueError(
            "Expected an alignment of (target pieces, source pieces), one each at least: "
            f"{expected}. Received: alignment.shape={alignment.shape}"
        )
    alignment = alignment[:rows, :columns]
    # A figure of its own, not pyplot's: nothing global, no display needed.
    figure = NotebookFigure(figsize=(max(3.2, 0.32 * columns + 1.6), max(2.2, 0.32 * rows + 1.4)))
    axes = figure.add_subplot()
    image = axes.imshow(alignment, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    # A "$" in a text is money, not the beginning of a formula.
    as_text: dict[str, Any] = {"parse_math": False, "fontfamily": _fonts()}
    axes.set_xticks(range(columns), [_visible(p) for p in source_pieces], **as_text)
    axes.set_yticks(range(rows), [_visible(p) for p in target_pieces], **as_text)
    longest = max(len(p) for p in source_pieces)
    axes.tick_params(top=True, labeltop=True, bottom=False, labelbottom=False, length=0)
    if longest > 4:
        for label in axes.get_xticklabels():
            label.set_rotation(60)
            label.set_horizontalalignment("left")
            label.set_rotation_mode("anchor")
    axes.set_xticks(np.arange(0.5, columns - 1), minor=True)
    axes.set_yticks(np.arange(0.5, rows - 1), minor=True)
    axes.grid(which="minor", color="white", linewidth=0.5)
    axes.tick_params(which="minor", length=0, top=False, bottom=False, left=False)
    axes.set_ylabel("answer")
    if title:
        axes.set_title(title, fontsize=10, **as_text)
    figure.colorbar(image, ax=axes, label="attention weight", fraction=0.04, pad=0.02)
    figure.set_layout_engine("tight")
    return figure


def save_alignment(
    path: str | Path, answer: Mapping[str, Any], index: int = 0, title: str | None = None
) -> None:
    """Writes the heat map of one answer of a text signature as PNG (or what `path` ends in).

    Args:
        path: the file; its folder is made if needed.
        answer: the outputs of `serving_default`: `alignment`, `source_pieces`, `target_pieces`.
        index: which example of the batch.
        title: text above the picture.
    """
    source = _without_padding(answer["source_pieces"][index])
    target = _without_padding(answer["target_pieces"][index])
    alignment = np.asarray(answer["alignment"])[index, : len(target), : len(source)]
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure = plot_alignment(alignment, source, target, title)
    _write(figure, path)


def _write(figure: Figure, file: Path | io.BytesIO) -> None:
    with warnings.catch_warnings():
        # A script that no font here has is drawn as boxes: the weights are still right.
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from font", UserWarning)
        # A piece may be too long for any layout; the file grows with it.
        warnings.filterwarnings("ignore", "Tight layout not applied", UserWarning)
        figure.savefig(file, dpi=150, bbox_inches="tight")


@functools.cache
def _fonts() -> list[str]:
    """Those of `FONTS` that are installed; naming others would be warned of."""
    installed = {font.name for font in font_manager.fontManager.ttflist}
    return [name for name in FONTS if name in installed]


def _without_padding(pieces: Iterable[str | bytes]) -> list[str]:
    """The pieces as text, without the empty ones at the end."""
    texts = [p.decode("utf-8", "replace") if isinstance(p, bytes) else str(p) for p in pieces]
    while texts and not texts[-1]:
        texts.pop()
    return texts


def _visible(piece: str) -> str:
    """SentencePiece's mark for a blank, as an open box, which every font has."""
    return piece.replace("\u2581", "\u2423" if piece == "\u2581" else "")
