"""Configuration of a layer whose parts are quantized."""

from collections.abc import Callable
from typing import Any

import keras


class QuantizedParts:
    """Mixin for layers and models that make layers of their own: they load as they were quantized.

    `Model.quantize` changes the innermost layers, so those that hold them have it nowhere in their
    configuration. It is part of how they are built: which of the layers within, in their order, has
    which mode. Built from that, a layer has the variables that the file brings.
    """

    _flatten_layers: Callable[[], Any]  # of Keras

    def get_build_config(self) -> dict[str, Any]:
        config = super().get_build_config()  # type: ignore[misc]
        parts = [
            [position, part.quantization_mode, part.quantization_config]
            for position, part in enumerate(self._flatten_layers())
            if part.quantization_mode and hasattr(part, "quantization_config")
        ]
        return {**config, "quantized": parts} if config and parts else config

    def build_from_config(self, config: dict[str, Any]) -> None:
        shapes = {name: value for name, value in config.items() if name != "quantized"}
        super().build_from_config(shapes)  # type: ignore[misc]
        within = self._flatten_layers()
        for position, mode, options in config.get("quantized", ()):
            part = within[position]
            if not part.quantization_mode:
                options = keras.saving.deserialize_keras_object(options)
                part.quantize(mode, config=options)
