"""Arguments of a constructor as attributes, where parts of the model hold them."""

from collections.abc import Callable
from typing import Any, ClassVar


class ArgumentAttributes:
    """Mixin: each argument of the constructor is an attribute, as in Keras' own layers.

    Arguments are looked up in `_config`, or in the part that holds them. They are not set on the
    layer: Keras writes the weights of a layer under the first attribute that it finds them by, so
    a second one would change the files of models.
    """

    # Arguments that a part holds: a function of the layer for each.
    argument_parts: ClassVar[dict[str, Callable[[Any], Any]]] = {}

    def __getattr__(self, name: str) -> Any:
        if name in self.argument_parts:
            return self.argument_parts[name](self)
        config = vars(self).get("_config", {})
        if name in config:
            return config[name]
        inherited = getattr(super(), "__getattr__", None)  # a module of PyTorch has one
        if inherited is None:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return inherited(name)
