"""The searches that an exported model answers with. Graph code: needs TensorFlow.

A setting is an input with a default, so that a request may leave it out. It has shape `(B,)`, one
number for each example, or `(1,)`, one for all, as the defaults have. What is out of range counts
as the nearest number in range, and what is no number as the default: in a batch of several
requests, one that is wrong must not spoil the others.
"""

import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from keras_attention._types import Tensor
from keras_attention.decoding import Constraints
from keras_attention.decoding.constraint import constraint_fields
from keras_attention.exporting.empty_batches import answering_empty_batches
from keras_attention.models import Seq2Seq


class Setting(NamedTuple):
    """A number that a request may set: an int32 if its default is one, else float32."""

    default: Any
    low: Any
    high: Any

    def dtype(self) -> Any:
        return tf.int32 if isinstance(self.default, int) else tf.float32

    def holds(self, number: Any) -> bool:
        """True if it is such a number, in range."""
        kinds = (int,) if isinstance(self.default, int) else (int, float)
        return type(number) in kinds and self.low <= number <= self.high

    def in_range(self, values: Any) -> Any:
        """Clip tensors to the range. Numbers stay numbers: a setting that is off adds no op."""
        if isinstance(values, int | float):
            return values
        values = tf.cast(values, self.dtype())
        if self.dtype() == tf.float32:
            values = tf.where(tf.math.is_nan(values), self.default, values)
        return tf.clip_by_value(values, self.low, self.high)


def beam_settings(max_length: int) -> dict[str, Setting]:
    """By name, those of `beam`. They change nothing by default: see `decoding.beam_search`."""
    return {
        "length_penalty": Setting(0.0, 0.0, 10.0),
        "coverage_penalty": Setting(0.0, 0.0, 100.0),
        **_constraints(max_length),
    }


def sample_settings(max_length: int) -> dict[str, Setting]:
    """By name, those of `sample`. They change nothing by default: see `decoding.sample`."""
    return {
        "seed": Setting(0, tf.int32.min, tf.int32.max),
        "temperature": Setting(1.0, 0.0, 100.0),
        "top_k": Setting(0, 0, tf.int32.max),
        "top_p": Setting(1.0, 1e-6, 1.0),  # 0 would be no token at all
        "min_p": Setting(0.0, 0.0, 1.0),
        **_constraints(max_length),
    }


def _constraints(max_length: int) -> dict[str, Setting]:
    return {
        "max_length": Setting(max_length, 1, max_length),
        **{
            name: Setting(row.neutral, *(row.of_requests or (0, max_length)))
            for name, row in constraint_fields(Constraints).items()
        },
    }


SETTINGS = {"beam": beam_settings, "sample": sample_settings}
SEED = tf.TensorSpec((None,), tf.int32, name="seed")
# Names of signatures that are no presets.
TAKEN = {"serving_default", "score", "decode_ids", *SETTINGS}


def beam(
    model: Seq2Seq,
    ids: Tensor,
    mask: Tensor,
    settings: Mapping[str, Any],
    prefix: tuple[Tensor, Tensor] | None,
    *,
    max_length: int,
    beam_width: int,
    n_best: int,
) -> dict[str, Tensor]:
    """The `n_best` answers to `ids (B, Ts)`, the best first.

    Args:
        mask: boolean `(B, Ts)`, True = no padding.
        settings: tensors or numbers by name; those of `beam_settings` that are missing have their
            default.
        prefix: ids `(B, P)` and lengths `(B,)` of what the answers begin with, 1 for B as well; or
            None.

    Returns:
        `ids` int32 `(B, N, Tt)`, as long as the longest; `lengths` int32, `score` and
        `log_probability` float32, `finished` boolean `(B, N)`, False where it was cut off at its
        `max_length`; `alignment` float32 `(B, N, Tt, Ts)`.
    """
    values = _values(beam_settings(max_length), settings)
    found = model.beam_search(
        ids,
        source_mask=mask,
        max_length=max_length,
        beam_width=beam_width,
        n_best=n_best,
        length_penalty=values["length_penalty"],
        coverage_penalty=values["coverage_penalty"],
        max_lengths=values["max_length"],
        constraints=_constraints_of(values, prefix),
    )
    longest = tf.maximum(tf.reduce_max(found.lengths), 1)
    return {
        "ids": found.ids[:, :, :longest],
        "lengths": found.lengths,
        "score": found.score,
        "log_probability": found.log_probability,
        "finished": tf.logical_and(
            # One that ended has its end in the place of a last token.
            found.lengths < tf.reshape(values["max_length"], (-1, 1)),
            found.score > -float("inf"),
        ),
        "alignment": found.alignments[:, :, :longest],
    }


def sample(
    model: Seq2Seq,
    ids: Tensor,
    mask: Tensor,
    settings: Mapping[str, Any],
    prefix: tuple[Tensor, Tensor] | None,
    *,
    max_length: int,
) -> dict[str, Tensor]:
    """A drawn answer to each of `ids (B, Ts)`.

    Args and returns: see `beam`, without N and without `log_probability`, which is the `score`.
    """
    values = _values(sample_settings(max_length), settings)
    found = model.sample(
        ids,
        tf.broadcast_to(values["seed"], tf.shape(ids)[:1]),
        source_mask=mask,
        max_length=max_length,
        temperature=values["temperature"],
        top_k=values["top_k"],
        top_p=values["top_p"],
        min_p=values["min_p"],
        max_lengths=values["max_length"],
        constraints=_constraints_of(values, prefix),
    )
    longest = tf.maximum(tf.reduce_max(found.lengths), 1)
    return {
        "ids": found.ids[:, :longest],
        "lengths": found.lengths,
        "score": found.score,
        "finished": found.lengths < values["max_length"],
        "alignment": found.alignments[:, :longest],
    }


def check_presets(presets: Mapping[str, Any], max_length: int) -> None:
    """Raises ValueError where `presets` are not what `export` takes."""
    for name, preset in presets.items():
        if not name.isidentifier() or name in TAKEN:
            raise ValueError(
                f"Expected the name of a preset to be an identifier and none of {sorted(TAKEN)}. "
                f"Received: {name!r}"
            )
        is_pair = isinstance(preset, tuple | list) and len(preset) == 2
        if not is_pair or preset[0] not in SETTINGS or not isinstance(preset[1], dict):
            raise ValueError(
                f"Expected a search out of {tuple(SETTINGS)} and a dictionary of its settings. "
                f"Received: {name}={preset!r}"
            )
        search, numbers = preset
        table = SETTINGS[search](max_length)
        for setting, number in numbers.items():
            if setting not in table:
                raise ValueError(
                    f"Expected settings of {search} out of {tuple(table)}. Received: {setting!r}"
                )
            if not table[setting].holds(number):
                low, high = table[setting].low, table[setting].high
                raise ValueError(
                    f"Expected {table[setting].dtype().name} from {low} to {high}. "
                    f"Received: {setting}={number!r}"
                )


def add_searches(
    archive: Any,
    answers: Mapping[str, Callable[..., Any]],
    required: Sequence[tf.TensorSpec],
    optional: Sequence[tuple[tf.TensorSpec, Tensor]],
    max_length: int,
    searches: Collection[str],
    presets: Mapping[str, Any],
) -> None:
    """Adds the signatures of searches.

    Args:
        archive: `keras.export.ExportArchive`.
        answers: by the name of the search, a function of a dictionary of tensors and numbers; what
            is missing there has its default.
        required: `tf.TensorSpec`s with names.
        optional: pairs of a `tf.TensorSpec` with a name and the default, a tensor.
        max_length: most tokens of an answer.
        searches: names of those to add with their settings as inputs.
        presets: see `export`.
    """
    for search in searches:
        table = SETTINGS[search](max_length)
        add_endpoint(archive, search, answers[search], required, optional, table)
    for name, (search, numbers) in presets.items():

        def answer(
            inputs: dict[str, Any], search: str = search, numbers: Mapping[str, float] = numbers
        ) -> Any:
            return answers[search]({**numbers, **inputs})

        drawn = [SEED] if search == "sample" and "seed" not in numbers else []
        add_endpoint(archive, name, answer, [*required, *drawn], [], {})


def add_endpoint(
    archive: Any,
    name: str,
    answer: Callable[[dict[str, Any]], Any],
    required: Sequence[tf.TensorSpec],
    optional: Sequence[tuple[tf.TensorSpec, Tensor]],
    settings: Mapping[str, Setting],
) -> None:
    """Adds a signature with optional inputs.

    Args:
        archive: `keras.export.ExportArchive`.
        name: of the signature.
        answer: function of a dictionary of tensors, one for each input.
        required: `tf.TensorSpec`s with names.
        optional: pairs of a `tf.TensorSpec` with a name and the default, a tensor.
        settings: `Setting`s by name.
    """
    optional = [
        *optional,
        *(
            (tf.TensorSpec((None,), s.dtype(), name=n), tf.constant([s.default], s.dtype()))
            for n, s in settings.items()
        ),
    ]
    specs = [*required, *(spec for spec, _ in optional)]

    answer = answering_empty_batches(answer, [spec.name for spec in required[:1]])

    def endpoint(*values: Any) -> Any:
        return answer({spec.name: value for spec, value in zip(specs, values, strict=True)})

    # Where TensorFlow looks for the names and defaults of a signature's inputs.
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    signature = inspect.Signature(
        [inspect.Parameter(spec.name, kind) for spec in required]
        + [inspect.Parameter(spec.name, kind, default=value) for spec, value in optional]
    )
    endpoint.__signature__ = signature  # type: ignore[attr-defined]
    archive.add_endpoint(name, endpoint, input_signature=specs)


def _values(table: Mapping[str, Setting], given: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: setting.in_range(given.get(name, setting.default)) for name, setting in table.items()
    }


def _constraints_of(values: Mapping[str, Any], prefix: tuple[Tensor, Tensor] | None) -> Constraints:
    prefix_ids, prefix_lengths = (None, None) if prefix is None else prefix
    settings = {name: values[name] for name in constraint_fields(Constraints)}
    return Constraints(**settings, prefix=prefix_ids, prefix_lengths=prefix_lengths)
