"""The models that `keras-attention train` can train, by name; each a function of the settings."""

from collections.abc import Callable
from typing import Any

import keras

from keras_attention.layers import (
    BahdanauAttention,
    CoverageAttention,
    LocalAttention,
    LocationSensitiveAttention,
    LuongAttention,
    MoChA,
    MonotonicAttention,
    MultiHeadCrossAttention,
    TimeDistributedScorer,
)
from keras_attention.models import (
    ByteNetSeq2Seq,
    ConvSeq2Seq,
    RNNSeq2Seq,
    Seq2Seq,
    TransformerSeq2Seq,
)
from keras_attention_command.settings import Settings

ATTENTIONS: dict[str, Callable[[int], Any]] = {
    "bahdanau": lambda units: BahdanauAttention(units),
    "bahdanau-normalized": lambda units: BahdanauAttention(units, normalize=True),
    "luong-dot": lambda units: LuongAttention("dot"),
    "luong-general": lambda units: LuongAttention("general"),
    "luong-concat": lambda units: LuongAttention("concat", units=units),
    "scorer": lambda units: TimeDistributedScorer(
        keras.Sequential([keras.layers.Dense(units, "tanh"), keras.layers.Dense(1)])
    ),
    "monotonic": lambda units: MonotonicAttention(
        BahdanauAttention(units, normalize=True), noise=1.0, score_bias=-1.0
    ),
    "mocha": lambda units: MoChA(
        BahdanauAttention(units, normalize=True), chunk_size=4, noise=1.0, score_bias=-1.0
    ),
    "local": lambda units: LocalAttention(LuongAttention("general")),
    "location-sensitive": lambda units: LocationSensitiveAttention(BahdanauAttention(units)),
    "coverage": lambda units: CoverageAttention(BahdanauAttention(units)),
    "multi-head": lambda units: MultiHeadCrossAttention(4, max(1, units // 4)),
    "none": lambda units: None,
}


def rnn(settings: Settings, source_vocabulary_size: int, target_vocabulary_size: int) -> Seq2Seq:
    """A recurrent encoder-decoder, with `settings.attention`."""
    if settings.attention not in ATTENTIONS:
        raise ValueError(
            f"Expected attention to be one of {tuple(ATTENTIONS)}. "
            f"Received: attention={settings.attention!r}"
        )
    return RNNSeq2Seq(
        source_vocabulary_size,
        target_vocabulary_size,
        units=settings.units,
        attention=ATTENTIONS[settings.attention](settings.attention_units or settings.units),
        query=settings.query,
        embedding_dim=settings.embedding_dim or None,
        num_layers=settings.layers,
        cell=settings.cell,
        bidirectional=settings.bidirectional,
        dropout=settings.dropout,
        tie_embeddings=settings.tie_embeddings,
    )


def transformer(
    settings: Settings, source_vocabulary_size: int, target_vocabulary_size: int
) -> Seq2Seq:
    """A Transformer, with `settings.heads`, `settings.positions` and `settings.norm`."""
    return TransformerSeq2Seq(
        source_vocabulary_size,
        target_vocabulary_size,
        units=settings.units,
        num_heads=settings.heads,
        num_layers=settings.layers,
        feedforward_dim=settings.feedforward_dim or None,
        norm=settings.norm,
        positions=settings.positions,
        dropout=settings.dropout,
        tie_embeddings=settings.tie_embeddings,
    )


def bytenet(
    settings: Settings, source_vocabulary_size: int, target_vocabulary_size: int
) -> Seq2Seq:
    """A ByteNet; a layer is a set of blocks with the dilations 1, 2, 4, 8, 16."""
    return ByteNetSeq2Seq(
        source_vocabulary_size,
        target_vocabulary_size,
        units=settings.units,
        kernel_size=settings.kernel_size,
        num_stacks=settings.layers,
        dropout=settings.dropout,
    )


def convs2s(
    settings: Settings, source_vocabulary_size: int, target_vocabulary_size: int
) -> Seq2Seq:
    """A ConvS2S."""
    return ConvSeq2Seq(
        source_vocabulary_size,
        target_vocabulary_size,
        units=settings.units,
        embedding_dim=settings.embedding_dim or None,
        kernel_size=settings.kernel_size,
        num_layers=settings.layers,
        dropout=settings.dropout,
    )


ARCHITECTURES = {
    "rnn": rnn,
    "transformer": transformer,
    "bytenet": bytenet,
    "convs2s": convs2s,
}


def build_model(
    settings: Settings, source_vocabulary_size: int, target_vocabulary_size: int
) -> Seq2Seq:
    """A `Seq2Seq` as the settings say, built.

    Raises:
        ValueError: an unknown `architecture`, or settings that do not fit each other.
    """
    if settings.architecture not in ARCHITECTURES:
        raise ValueError(
            f"Expected architecture to be one of {tuple(ARCHITECTURES)}. "
            f"Received: architecture={settings.architecture!r}"
        )
    build = ARCHITECTURES[settings.architecture]
    model = build(settings, source_vocabulary_size, target_vocabulary_size)
    model.build({"source": (None, None), "target": (None, None)})
    return model
