"""Base class of all models of one sequence of tokens."""

from typing import Any

from keras import ops

from keras_attention._token_ids import check_token_ids
from keras_attention._types import Tensor
from keras_attention.models.seq2seq import Seq2Seq


class LanguageModel(Seq2Seq):
    """A model of the next token given those before it; the base class.

    To whoever asks, it is a `Seq2Seq` whose source is a prompt and whose answer goes on with it:
    the same vocabulary, and one sequence `start_id, prompt, answer, end_id`. So searches, scores,
    export and signatures are those of `Seq2Seq`, and so are its steps. A subclass implements
    `predict_next`, `prepare_prompt` and `step_token`, of which the rest is made.

    Masking: token 0 is padding, which stands on the right.

    Call arguments:
        inputs: int `(B, T)`, sequences that start with `start_id` and lack `end_id`, which the
            labels have; or, as other models have it, `{"source": prompts int (B, Ts), "target":
            int (B, Tt)}`, where the target, which starts with `start_id`, is what goes on with the
            prompt. A `"source_mask"`, boolean `(B, Ts)`, takes the place of `source != 0`.

    Returns:
        Logits of what follows each token: `(B, T, vocabulary_size)`, or
        `(B, Tt, vocabulary_size)`, the first of which follow the prompt.

    Attributes:
        vocabulary_size: number of tokens, for the check of prompts; None knows no highest token.
    """

    vocabulary_size: int | None = None

    def check_inputs(self, inputs: Tensor) -> None:
        if isinstance(inputs, (dict, list, tuple)):
            super().check_inputs(inputs)

    def predict_next(self, tokens: Tensor, training: bool | None = None) -> Tensor:
        """Logits `(B, T, vocabulary_size)` of what follows each of `tokens`, int `(B, T)`."""
        raise NotImplementedError(f"{type(self).__name__} must define `predict_next`.")

    def prepare_prompt(self, tokens: Tensor, lengths: Tensor, max_length: int) -> Any:
        """State of `step_token` after a prompt: any structure of tensors, batch first.

        Args:
            tokens: int `(B, T)`.
            lengths: int `(B,)`, how many of them belong to the prompt.
            max_length: most steps that will follow, for a state that has room for all of them.
        """
        raise NotImplementedError(f"{type(self).__name__} must define `prepare_prompt`.")

    def step_token(self, token: Tensor, state: Any) -> Any:
        """Logits `(B, vocabulary_size)` of what follows `token`, int `(B,)`, and the new state."""
        raise NotImplementedError(f"{type(self).__name__} must define `step_token`.")

    def generate(
        self,
        prompt: Tensor,
        prompt_mask: Tensor | None = None,
        max_length: int = 100,
        seeds: Tensor | None = None,
        **options: Any,
    ) -> Any:
        """Goes on with each prompt, by the likeliest token at each step or by drawn ones.

        Args:
            prompt: int `(B, Tp)`, without the start token, padding at the end.
            prompt_mask: boolean `(B, Tp)`; `prompt != 0` by default.
            max_length: most tokens after the prompt; a positive integer.
            seeds: int `(B,)`, to draw; None for the likeliest.
            options: of `sample` or `decode`.

        Returns:
            `Hypotheses` of what comes after the prompt.
        """
        if seeds is None:
            return self.decode(prompt, prompt_mask, max_length, **options)
        return self.sample(prompt, seeds, prompt_mask, max_length, **options)

    def call(self, inputs: Tensor, training: bool | None = None) -> Any:
        if not isinstance(inputs, dict):
            return self.predict_next(ops.cast(inputs, "int32"), training)
        source, target = inputs["source"], ops.cast(inputs["target"], "int32")
        source, lengths = _prompt(source, inputs.get("source_mask"))
        lengths = ops.expand_dims(lengths, 1)
        batch, steps = ops.shape(source)
        joined = ops.concatenate([self._after_start(source), target[:, 1:]], axis=1)
        places = ops.expand_dims(ops.arange(ops.shape(joined)[1], dtype="int32"), 0)
        # The padding between prompt and target goes to the end.
        last = ops.shape(joined)[1] - 1
        gap = ops.where(places <= lengths, 0, steps - lengths)
        tokens = ops.take_along_axis(joined, ops.minimum(places + gap, last), axis=1)
        logits = self.predict_next(tokens, training)
        answered = lengths + ops.arange(ops.shape(target)[1], dtype="int32")
        return ops.take_along_axis(logits, ops.expand_dims(answered, -1), axis=1)

    def prepare(
        self, source: Tensor, source_mask: Tensor | None = None, training: bool | None = None
    ) -> tuple[Any, Any]:
        if not self.built:  # all sizes are known: a model that has seen no data can answer, too
            self.build((None, None))
        source, lengths = _prompt(source, source_mask)
        source, _ = check_token_ids(source, self.vocabulary_size, name="token")
        return self._after_start(source), lengths

    def initial_state(self, memory: Tensor, max_length: int = 100) -> tuple[Any, Any]:
        tokens, lengths = memory
        # A search begins with the token `start_id`; what this sequence is at is the last token of
        # its prompt, which waits in the state for the first step.
        pending = ops.take_along_axis(tokens, ops.expand_dims(lengths, 1), axis=1)[:, 0]
        return pending, self.prepare_prompt(tokens, lengths, max_length)

    def step(
        self, token: Tensor, state: Any, memory: Tensor, width: Any = None
    ) -> tuple[Any, Any, Any]:
        pending, state = state
        token = ops.where(pending >= 0, pending, ops.cast(token, "int32"))
        logits, state = self.step_token(token, state)
        source_length = ops.shape(memory[0])[1] - 1
        weights = ops.zeros((ops.shape(token)[0], source_length), self.compute_dtype)
        return logits, (ops.full_like(pending, -1), state), weights

    def _after_start(self, source: Tensor) -> Tensor:
        return ops.pad(source, [[0, 0], [1, 0]], constant_values=self.start_id)


def _prompt(source: Tensor, mask: Tensor) -> tuple[Any, Any]:
    """The tokens, 0 where the mask is False, and how many there are."""
    source = ops.cast(source, "int32")
    mask = source != 0 if mask is None else ops.cast(mask, "bool")
    return ops.where(mask, source, 0), ops.sum(ops.cast(mask, "int32"), axis=1)
