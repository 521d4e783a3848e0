"""Checks of a call's inputs, in one line, before Keras or the layer fails on them."""

import functools
import inspect
from typing import Any

from keras_attention._types import Shape, Tensor
from keras_attention.layers.feature_sizes import with_feature_sizes
from keras_attention.layers.validation import check_sequence

# Arguments that are one tensor each, whichever layer has them.
_TENSORS = {"query", "value", "key", "inputs", "x", "source", "target", "story", "question"}
_NAMED = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class CheckedCall:
    """Mixin for layers: calls with other arguments than theirs are refused by name and shape."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        given = _by_name(self, args, kwargs)
        for name in _TENSORS & set(given):
            _check_tensor(name, given[name])
        for name in given:
            if name.endswith("mask") and given[name] is not None:
                _check_mask(name, given)
        if hasattr(given.get("memory"), "shape"):
            check_sequence("memory", given["memory"].shape)
        self.check_given(given)
        known = with_feature_sizes(self, given)
        args = tuple(known.get(name, x) for name, x in zip(given, args, strict=False))
        kwargs |= {name: known[name] for name in known.keys() & kwargs}
        return super().__call__(*args, **kwargs)  # type: ignore[misc]

    def check_given(self, given: Any) -> Any:
        """Raises ValueError if the arguments of a call, by name, do not fit each other."""
        return None  # AutoGraph warns of functions without a statement


def _by_name(layer: Any, args: Any, kwargs: Any) -> dict[str, Any]:
    """The arguments of a call by name; TypeError where they do not fit the layer's `call`."""
    names, required, is_open = _arguments(type(layer).call)
    shown = ", ".join(names)
    if len(args) > len(names):
        raise TypeError(
            f"Expected at most {len(names)} arguments: {shown}. Received: {len(args)} arguments"
        )
    given = dict(zip(names, args, strict=False))
    for name, value in kwargs.items():
        if name in given:
            raise TypeError(f"Expected {name} once. Received: {name} by position and by name")
        if name == "mask" and name not in names and not is_open:
            masks = " or ".join(n for n in names if n.endswith("_mask"))
            raise TypeError(
                f"Expected a mask by its own name{masks and ', ' + masks}. "
                f"Received: mask={_brief(value)}"
            )
        if name not in names and name != "training" and not is_open:
            raise TypeError(
                f"Expected arguments of {type(layer).__name__} among {shown}. "
                f"Received: {name}={_brief(value)}"
            )
        given[name] = value
    _check_tensor(names[0], given.get(names[0]), names)
    missing = [name for name in required if name not in given]
    if missing:
        received = ", ".join(f"{n}={_brief(x)}" for n, x in given.items()) or "no argument"
        raise TypeError(f"Expected {' and '.join(required)}. Received: {received}")
    return given


@functools.cache
def _arguments(call: Any) -> tuple[Any, Any, Any]:
    """Names of the arguments of a `call`, those without a default, and whether it takes others."""
    parameters = list(inspect.signature(call).parameters.values())[1:]
    named = [p for p in parameters if p.kind in _NAMED]
    required = [p.name for p in named if p.default is p.empty]
    others = any(p.kind is p.VAR_KEYWORD for p in parameters)
    # Here others are what one class hands to the next; a subclass from elsewhere knows its own.
    is_open = others and not call.__module__.startswith("keras_attention.")
    return [p.name for p in named] or ["inputs"], required, is_open


def _check_tensor(name: str, x: Tensor, names: Any = ()) -> None:
    if isinstance(x, (list, tuple)) and (name in _TENSORS or name in names[:1]):
        own = [n for n in names if n in _TENSORS or n in ("memory", "logits", "weights")]
        call = f", each an argument of its own: {', '.join(own)}" if len(own) > 1 else ""
        raise ValueError(f"Expected {name} to be one tensor{call}. Received: {name}={_brief(x)}")


def _check_mask(name: str, given: Any) -> None:
    mask = given[name]
    first = next(iter(given.values()))
    of = first if name == "mask" else given.get(name.removesuffix("_mask"))
    if name == "key_mask" and of is None:
        of = given.get("value")
    if isinstance(of, (list, tuple)) or (of is None and name != "attention_mask"):
        return
    if not hasattr(mask, "shape"):
        raise ValueError(f"Expected {name} to be a tensor. Received: {name}={_brief(mask)}")
    if name == "attention_mask":
        _check_pairs(mask, given)
        return
    shape = tuple(of.shape)[:2]
    if len(mask.shape) != 2 or not _fit(mask.shape, (shape[0], shape[1]), (True, False)):
        raise ValueError(
            f"Expected {name} of shape (batch, steps), here {shape}. "
            f"Received: {name}.shape={tuple(mask.shape)}"
        )


def _check_pairs(mask: Tensor, given: Any) -> None:
    query = given.get("query", given.get("inputs"))
    value = given.get("value", query)
    if query is None or not hasattr(value, "shape") or len(query.shape) != 3:
        return
    pairs = (query.shape[0], None, query.shape[1], value.shape[1])
    rank = len(mask.shape)
    wanted = {2: pairs[2:], 3: (pairs[0], *pairs[2:]), 4: pairs}.get(rank)
    if wanted is None or not _fit(mask.shape, wanted, (True,) * rank):
        raise ValueError(
            "Expected attention_mask of shape (batch, query steps, value steps), here "
            f"{(pairs[0], *pairs[2:])}, or without batch, or (batch, heads, query steps, value "
            f"steps). Received: attention_mask.shape={tuple(mask.shape)}"
        )


def _fit(shape: Shape, wanted: Any, may_be_one: Any) -> bool:
    """True if the sizes that are known agree."""
    return all(
        None in (size, want) or size == want or (one and size == 1)
        for size, want, one in zip(shape, wanted, may_be_one, strict=True)
    )


def _brief(x: Tensor) -> Any:
    """A tensor by its shape, a list by its length, anything else as it prints."""
    if hasattr(x, "shape"):
        return f"a tensor of shape {tuple(x.shape)}"
    if isinstance(x, (list, tuple)):
        return f"a {type(x).__name__} of {len(x)}"
    return repr(x)
