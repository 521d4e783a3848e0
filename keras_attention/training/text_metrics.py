"""Figures that papers report: BLEU, chrF and TER by sacrebleu, and the error rate of tokens."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from keras_attention._types import Pairs
from keras_attention.training.evaluation import edit_distance, targets_by_source
from keras_attention_command.settings import METRICS


class Score(NamedTuple):
    """One figure over a test set.

    Attributes:
        name: as papers write it.
        value: in percent for error rates, of 100 for BLEU and chrF.
        signature: the settings behind it, in sacrebleu's form; needed to compare it with others.
    """

    name: str
    value: float
    signature: str

    def __str__(self) -> str:
        return f"{self.name} {self.value:.2f}  {self.signature}"


Metric = Callable[[Mapping[str, str], Pairs], Score]


def metric(name: str, tokenize: str = "13a", lowercase: bool = False) -> Metric:
    """A function of the answer to each source and the lines of a test set.

    Args:
        name: one of `METRICS`. "bleu", "chrf" and "ter" are over all lines, with one reference
            each. "token-error-rate" is over the distinct sources, with the nearest of their
            targets, split at blanks: insertions, deletions and substitutions divided by the
            target's length, summed over all before dividing. It is the phoneme error rate (PER)
            where tokens are phonemes; the word error rate (WER) where they are words.
        tokenize: sacrebleu's tokenizer for BLEU; "none" for text that is tokenized already.
        lowercase: compare without case.

    Raises:
        ValueError: an unknown metric or tokenizer.
        ModuleNotFoundError: there is no sacrebleu.

    Reference: Post, 2018, "A Call for Clarity in Reporting BLEU Scores",
    https://arxiv.org/abs/1804.08771.
    """
    if name not in METRICS:
        raise ValueError(f"Expected a metric of {', '.join(METRICS)}. Received: {name!r}")
    if name == "token-error-rate":
        return lambda answers, pairs: _token_error_rate(answers, pairs, lowercase)
    from sacrebleu.metrics import BLEU, CHRF, TER  # type: ignore[attr-defined]

    if name == "bleu":
        if tokenize not in BLEU.TOKENIZERS:
            raise ValueError(
                f"Expected a tokenizer of {', '.join(sorted(BLEU.TOKENIZERS))}. "
                f"Received: tokenize={tokenize!r}"
            )
        # With "none", tokenized text is what sacrebleu gets on purpose: it must not warn of it.
        computed: Any = BLEU(tokenize=tokenize, lowercase=lowercase, force=tokenize == "none")
    elif name == "chrf":
        computed = CHRF(lowercase=lowercase)
    else:
        computed = TER(case_sensitive=not lowercase)

    def score(answers: Mapping[str, str], pairs: Pairs) -> Score:
        lines = [answers[source] for source, _ in pairs]
        result = computed.corpus_score(lines, [[target for _, target in pairs]])
        return Score(result.name, result.score, str(computed.get_signature()))

    return score


def _token_error_rate(answers: Mapping[str, str], pairs: Pairs, lowercase: bool) -> Score:
    def tokens(text: str) -> list[str]:
        return (text.lower() if lowercase else text).split()

    errors = length = 0
    for source, targets in targets_by_source(pairs).items():
        answer = tokens(answers[source])
        alternatives = [tokens(target) for target in targets]
        nearest, size = min((edit_distance(answer, t), len(t)) for t in alternatives)
        errors, length = errors + nearest, length + size
    case = "lc" if lowercase else "mixed"
    return Score("token error rate", 100 * errors / max(length, 1), f"case:{case}|tok:blanks")
