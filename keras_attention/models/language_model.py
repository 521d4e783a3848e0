"""What all models of one sequence of tokens have in common."""

from keras import ops

from keras_attention.models.seq2seq import Seq2Seq


class LanguageModel(Seq2Seq):
    """A model of the next token given those before it; the base class.

    To whoever asks, it is a `Seq2Seq` whose source is a prompt and whose answer goes on with it:
    the same vocabulary, and one sequence `start_id, prompt, answer, end_id`. So searches, scores,
    export and signatures are those of `Seq2Seq`. A subclass answers `predict_next`, `read` and
    `advance`.

    Masking: token 0 is padding, which stands on the right.

    Call arguments:
        inputs: `{"target": int (B, Tt)}`, which starts with `start_id` and lacks `end_id`, which
            the labels have; with a `"source"`, int `(B, Ts)`, the prompts that the targets go on
            with, and with a `"source_mask"`, boolean `(B, Ts)`, in the place of `source != 0`.

    Returns:
        Logits `(B, Tt, vocabulary_size)` of what follows each token of the target; the first of
        them follows the prompt.
    """

    def predict_next(self, tokens, training=None):
        """Logits `(B, T, vocabulary_size)` of what follows each of `tokens`, int `(B, T)`."""
        raise NotImplementedError(f"{type(self).__name__} must define `predict_next`.")

    def read(self, tokens, lengths, max_length):
        """The state after the first `lengths` int `(B,)` of `tokens` int `(B, T)`: what `advance`
        takes, any structure of tensors, batch first.

        Args:
            max_length: most steps that will follow, for a state that has room for all of them.
        """
        raise NotImplementedError(f"{type(self).__name__} must define `read`.")

    def advance(self, token, state):
        """Logits `(B, vocabulary_size)` of what follows `token`, int `(B,)`, and the new state."""
        raise NotImplementedError(f"{type(self).__name__} must define `advance`.")

    def generate(self, prompts=None, seeds=None, batch_size=1, max_length=100, **options):
        """Goes on with prompts, or begins: the likeliest token at each step, or a drawn one.

        Args:
            prompts: int `(B, Tp)`, 0 after the last token; None for `batch_size` empty ones.
            seeds: int `(B,)`, to draw tokens; None for the likeliest.
            batch_size: number of answers where there are no prompts.
            max_length: most tokens of an answer.
            options: of `sample` or `decode`.

        Returns:
            `Hypotheses`, without the prompts.
        """
        if prompts is None:
            batch_size = batch_size if seeds is None else ops.shape(seeds)[0]
            prompts = ops.zeros((batch_size, 1), dtype="int32")
        if seeds is None:
            return self.decode(prompts, max_length=max_length, **options)
        return self.sample(prompts, seeds, max_length=max_length, **options)

    def call(self, inputs, training=None):
        target, source = ops.cast(inputs["target"], "int32"), inputs.get("source")
        if source is None:
            return self.predict_next(target, training)
        source = ops.cast(source, "int32")
        lengths = _lengths(source, inputs.get("source_mask"))[:, None]
        batch, steps = ops.shape(source)
        joined = ops.concatenate([self._after_start(source), target[:, 1:]], axis=1)
        places = ops.arange(ops.shape(joined)[1], dtype="int32")[None]
        # The padding between prompt and target goes to the end.
        last = ops.shape(joined)[1] - 1
        gap = ops.where(places <= lengths, 0, steps - lengths)
        tokens = ops.take_along_axis(joined, ops.minimum(places + gap, last), axis=1)
        logits = self.predict_next(tokens, training)
        answered = lengths + ops.arange(ops.shape(target)[1], dtype="int32")
        return ops.take_along_axis(logits, answered[..., None], axis=1)

    def encode(self, source, source_mask=None, training=None, max_length=100):
        if not self.built:  # all sizes are known: a model that has seen no data can answer, too
            self.build({"target": (None, None)})
        source = ops.cast(source, "int32")
        lengths = _lengths(source, source_mask)
        tokens = self._after_start(source)
        # A search begins with the token `start_id`; what this sequence is at is the last token of
        # its prompt, which waits in the state for the first step.
        pending = ops.take_along_axis(tokens, lengths[:, None], axis=1)[:, 0]
        state = self.read(tokens, lengths, max_length)
        return (ops.zeros_like(source, dtype=self.compute_dtype),), (pending, state)

    def step(self, token, state, memory, width=None):
        pending, state = state
        token = ops.where(pending >= 0, pending, ops.cast(token, "int32"))
        logits, state = self.advance(token, state)
        weights = ops.zeros((ops.shape(token)[0], ops.shape(memory[0])[1]), self.compute_dtype)
        return logits, (ops.full_like(pending, -1), state), weights

    def _after_start(self, source):
        return ops.pad(source, [[0, 0], [1, 0]], constant_values=self.start_id)


def _lengths(source, mask):
    mask = source != 0 if mask is None else mask
    return ops.sum(ops.cast(mask, "int32"), axis=1)
