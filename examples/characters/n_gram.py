"""N-gram model of characters with interpolated counts."""

import collections
import math

END = "\n"


class NGram:
    """Counts of characters after contexts of up to `order - 1` characters, interpolated.

    With c(h, x) the count of x after h, c(h) that of all and d(h) of the different ones,
    `p(x | h) = (c(h, x) + d(h) p(x | h')) / (c(h) + d(h))`, where h' lacks the first character of h
    and the shortest context backs off to `1 / size`.

    Args:
        lines: texts to count in.
        order: largest number of characters of an n-gram.
        size: number of different characters, the end of a line included.

    Reference: Witten and Bell, 1991, https://doi.org/10.1109/18.87000, method C.
    """

    def __init__(self, lines, order, size):
        self.order, self.size = order, size
        self.counts = collections.defaultdict(collections.Counter)
        for line in lines:
            for context, character in self._events(line):
                for start in range(len(context) + 1):
                    self.counts[context[start:]][character] += 1

    def bits(self, line):
        """`-log2` of the probability of a line and its end."""
        return -sum(math.log2(self._probability(*event)) for event in self._events(line))

    def _events(self, line):
        text = END + line + END
        for i in range(1, len(text)):
            yield text[max(0, i - self.order + 1) : i], text[i]

    def _probability(self, context, character):
        probability = 1 / self.size
        for start in range(len(context), -1, -1):
            counts = self.counts.get(context[start:])
            if counts is None:
                break
            total, different = counts.total(), len(counts)
            probability = (counts[character] + different * probability) / (total + different)
        return probability
