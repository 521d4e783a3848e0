"""The settings of a training run, which are the options of `keras-attention train`."""

import dataclasses
import math
from typing import Any

# Of the settings that are numbers: the lowest value, and what every value is below.
RANGES = {
    **dict.fromkeys(
        ("units", "layers", "heads", "kernel_size", "validations_per_epoch"), (1, math.inf)
    ),
    # 0 is for what is chosen from the training lines.
    **dict.fromkeys(
        ("source_vocabulary", "target_vocabulary", "batch_size", "epochs"), (0, math.inf)
    ),
    **dict.fromkeys(
        ("attention_units", "embedding_dim", "feedforward_dim", "max_length", "max_source_length"),
        (0, math.inf),
    ),
    **dict.fromkeys(("warmup_steps", "average_checkpoints"), (0, math.inf)),
    **dict.fromkeys(("dropout", "label_smoothing", "beta_2", "ema_momentum"), (0, 1)),
    **dict.fromkeys(("learning_rate", "clip_norm"), (0, math.inf)),
    "seed": (0, 2**32),
}
CHOICES = {
    "query": ("previous", "current"),
    "cell": ("gru", "lstm"),
    "norm": ("pre", "post"),
    "positions": ("sinusoidal", "learned", "rotary", "alibi", "relative"),
    "schedule": ("cosine", "noam"),
}
# The figures of `keras-attention evaluate --metric`.
METRICS = ("bleu", "chrf", "ter", "token-error-rate")
# Names that settings had before; options and runs of that name are still read.
FORMER_NAMES = {
    "source_tokens": "source_tokenizer",
    "target_tokens": "target_tokenizer",
    "looks": "validations_per_epoch",
    "averaging": "ema_momentum",
    "average_last": "average_checkpoints",
}


def _setting(default: Any, help: str) -> Any:
    return dataclasses.field(default=default, metadata={"help": help})


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of a model and its training; each field is an option of `keras-attention train`.

    Raises:
        ValueError: a value out of range.
    """

    architecture: str = _setting("rnn", "rnn, transformer, bytenet or convs2s.")
    attention: str = _setting("bahdanau", "Kind of attention, or none.")
    query: str = _setting(
        "previous", "Decoder state that is the query: previous (Bahdanau) or current (Luong)."
    )
    attention_units: int = _setting(0, "Inner size of the score; 0 for as many as --units.")
    cell: str = _setting("gru", "gru or lstm.")
    units: int = _setting(128, "Size of the states, of each layer and direction.")
    embedding_dim: int = _setting(0, "Size of the embeddings; 0 for as many as --units.")
    layers: int = _setting(1, "Layers in encoder and decoder each.")
    kernel_size: int = _setting(3, "Kernel size of the convolutions of bytenet and convs2s.")
    heads: int = _setting(8, "Heads of each attention of a transformer.")
    feedforward_dim: int = _setting(0, "Inner layers of a transformer; 0 for 4 times --units.")
    norm: str = _setting("pre", "Layer normalization of a transformer: pre or post.")
    positions: str = _setting(
        "sinusoidal", "Positions of a transformer: sinusoidal, learned, rotary, alibi or relative."
    )
    bidirectional: bool = _setting(True, "Whether the encoder reads in both directions.")
    dropout: float = _setting(0.0, "Fraction dropped in training.")
    tie_embeddings: bool = _setting(False, "Whether target embeddings are output weights, too.")
    source_tokenizer: str = _setting(
        "auto", "char, word, unigram or bpe; auto chooses from the lines."
    )
    target_tokenizer: str = _setting(
        "auto", "char, word, unigram or bpe; auto chooses from the lines."
    )
    source_vocabulary: int = _setting(0, "Most source tokens; 0 to choose from the lines.")
    target_vocabulary: int = _setting(0, "Most target tokens; 0 to choose from the lines.")
    normalization: str = _setting("nfkc", "nfkc, nfkc_cf (folds the case of sources) or identity.")
    source_symbols: tuple[str, ...] = _setting(
        (), "Source strings that are one token each, blanks between."
    )
    target_symbols: tuple[str, ...] = _setting(
        (), "Target strings that are one token each, blanks between."
    )
    batch_size: int = _setting(0, "Pairs in a batch; 0 to choose from the lines.")
    epochs: int = _setting(0, "Passes over the training lines; 0 to choose from them.")
    validations_per_epoch: int = _setting(
        1, "Validations on the development lines in each epoch; the best model is kept."
    )
    learning_rate: float = _setting(2e-3, "Highest learning rate of Adam.")
    schedule: str = _setting(
        "cosine", "How the learning rate falls: cosine, to 0, or noam, as the root of the steps."
    )
    warmup_steps: int = _setting(50, "Steps in which the learning rate rises from 0.")
    beta_2: float = _setting(0.98, "Adam's memory of squared gradients.")
    clip_norm: float = _setting(1.0, "Largest norm of all gradients as one; 0 for any.")
    ema_momentum: float = _setting(
        0.0,
        "Momentum of a moving average of the weights, which is what is kept; 0.999 looks back at "
        "about 1000 steps; 0 for no average.",
    )
    average_checkpoints: int = _setting(
        0,
        "Validations at the end whose models are averaged; the average is kept if its loss is "
        "lower than that of each. 0 for none.",
    )
    label_smoothing: float = _setting(0.0, "Probability spread over all tokens.")
    max_length: int = _setting(
        0, "Most tokens of an answer; 0 for 1.5 times the longest seen, but for outliers."
    )
    max_source_length: int = _setting(
        0, "Most tokens of a text that a server reads; 0 as for --max-length, of the sources."
    )
    seed: int = _setting(1, "Seed of weights, batches and dropout.")

    def __post_init__(self) -> None:
        for name, (lowest, end) in RANGES.items():
            value = getattr(self, name)
            if not lowest <= value < end:
                limits = f"{name} >= {lowest}" if end == math.inf else f"{lowest} <= {name} < {end}"
                raise ValueError(f"Expected {limits}. Received: {name}={value}")
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(
                    f"Expected {name} to be one of {choices}. "
                    f"Received: {name}={getattr(self, name)!r}"
                )
        recurrent = self.architecture == "rnn"
        if recurrent and self.attention == "luong-dot" and self.bidirectional:
            raise ValueError(
                "Expected an encoder of one direction with attention='luong-dot', which compares "
                "states of one size. Received: bidirectional=True"
            )
