"""Keras, or one line that says how to get it: imported before all that needs it."""

try:
    import keras as keras
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        'Expected Keras 3 with a backend: pip install "keras-attention-serving[tensorflow]", or '
        f"[jax], or [torch], or [layers] for Keras alone. Received: no package named {error.name}",
        name=error.name,
    ) from None
