"""Figures that papers report: BLEU, chrF and TER by sacrebleu, and the error rate of tokens."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from keras_attention.training.evaluation import edit_distance
from keras_attention_command.settings import METRICS


class Score(NamedTuple):
    """One figure over all lines of a test set.

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


Metric = Callable[[Sequence[str], Sequence[str]], Score]


def metric(name: str, tokenize: str = "13a", lowercase: bool = False) -> Metric:
    """A function of answers and as many targets, line by line, one reference each.

    Args:
        name: one of `METRICS`. "token-error-rate" splits lines at blanks: it is the phoneme error
            rate (PER) where tokens are phonemes, the word error rate (WER) where they are words.
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
        return lambda answers, targets: _token_error_rate(answers, targets, lowercase)
    from sacrebleu.metrics import BLEU, CHRF, TER

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

    def score(answers: Sequence[str], targets: Sequence[str]) -> Score:
        result = computed.corpus_score(list(answers), [list(targets)])
        return Score(result.name, result.score, str(computed.get_signature()))

    return score


def _token_error_rate(answers: Sequence[str], targets: Sequence[str], lowercase: bool) -> Score:
    errors = length = 0
    for answer, target in zip(answers, targets, strict=True):
        if lowercase:
            answer, target = answer.lower(), target.lower()
        tokens = target.split()
        errors += edit_distance(answer.split(), tokens)
        length += len(tokens)
    case = "lc" if lowercase else "mixed"
    return Score("token error rate", 100 * errors / max(length, 1), f"case:{case}|tok:blanks")
