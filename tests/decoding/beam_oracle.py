"""Beam search and exhaustive search in plain Python, one example at a time, in float64."""

import itertools
from typing import NamedTuple

import numpy as np

LEAST_COVERED = 1e-6


class Hypothesis(NamedTuple):
    ids: tuple
    score: float
    log_probability: float
    alignments: list


class Ranking(NamedTuple):
    """What `beam_search` ranks by; `mask` are the positions of the memory that count."""

    alpha: float = 0.0
    beta: float = 0.0
    mask: np.ndarray | None = None

    def score(self, total, length, alignments):
        score = total / ((5 + length) / 6) ** self.alpha
        if self.beta == 0:
            return score
        covered = np.clip(np.sum(alignments, axis=0), LEAST_COVERED, 1)
        return score + self.beta * np.log(covered)[self.mask].sum()


NO_PENALTY = Ranking()


def everything(log_p, ids):
    return log_p


def beam_search(after, width, n_best, start, end, limit, ranking=NO_PENALTY, allow=everything):
    """The `n_best` of a beam search that never stops before the limit.

    Args:
        after: function of the tokens so far, the start first, to log-probabilities and weights.
        allow: function of log-probabilities and ids to what may follow, -inf for what may not.
    """
    live, ended = [Hypothesis((), 0.0, 0.0, [])], []
    for t in range(limit):
        candidates = []
        for hypothesis in live:  # their score is the total
            log_p, seen = after((start, *hypothesis.ids))
            allowed = allow(log_p, hypothesis.ids)
            for token in range(len(log_p)):
                if allowed[token] > -np.inf:
                    total = hypothesis.score + allowed[token]
                    log_probability = hypothesis.log_probability + log_p[token]
                    ids, alignments = (*hypothesis.ids, token), [*hypothesis.alignments, seen]
                    candidates.append(Hypothesis(ids, total, log_probability, alignments))
        candidates.sort(key=lambda c: -c.score)
        for c in candidates[:width]:
            if c.ids[-1] == end:
                score = ranking.score(c.score, t + 1, c.alignments)
                ended.append(c._replace(ids=c.ids[:-1], score=score, alignments=c.alignments[:-1]))
        live = [c for c in candidates if c.ids[-1] != end][:width]
    ended.sort(key=lambda c: -c.score)
    cut = [c._replace(score=ranking.score(c.score, limit, c.alignments)) for c in live]
    cut.sort(key=lambda c: -c.score)
    return [*ended, *cut][:n_best]


def exhaustive_search(after, vocabulary, start, end, limit, ranking=NO_PENALTY):
    """Every sequence that ends within `limit` tokens, its end included, the best first."""
    tokens = [token for token in range(vocabulary) if token != end]
    found = []
    for length in range(limit):
        for ids in itertools.product(tokens, repeat=length):
            total, alignments = 0.0, []
            for t, token in enumerate((*ids, end)):
                log_p, seen = after((start, *ids[:t]))
                total += log_p[token]
                alignments.append(seen)
            score = ranking.score(total, length + 1, alignments)
            found.append(Hypothesis(ids, score, total, alignments[:-1]))
    return sorted(found, key=lambda c: -c.score)


def allowing(end, min_length=0, repetition_penalty=1.0, no_repeat_ngram=0, prefix=()):
    """`allow` for `beam_search`: what `Constraints` asks for, for one example."""

    def allow(log_p, ids):
        allowed = np.array(log_p)
        for token in set(ids):
            allowed[token] *= repetition_penalty
        if n := no_repeat_ngram:
            there = {ids[i : i + n] for i in range(len(ids) - n + 1)}
            for token in range(len(allowed)):
                if (*ids[len(ids) - n + 1 :], token) in there:
                    allowed[token] = -np.inf
        if len(ids) < min_length:
            allowed[end] = -np.inf
        if np.isneginf(allowed).all():
            allowed[end] = max(log_p[end], -1e9)
        if len(ids) < len(prefix):
            token = prefix[len(ids)]
            allowed = np.full(len(log_p), -np.inf)
            allowed[token] = max(log_p[token], -1e9)
        return allowed

    return allow
