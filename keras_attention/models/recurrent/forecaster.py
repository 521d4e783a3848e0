"""Forecasts of a series of values, with attention to what was observed."""

from typing import Any, Self, Unpack

import keras
from keras import ops

from keras_attention._types import LayerOptions, Tensor
from keras_attention.layers.keep_mask import accept_masks
from keras_attention.models.argument_attributes import ArgumentAttributes
from keras_attention.models.recurrent.attention_cell import AttentionCell
from keras_attention.models.recurrent.attention_decoder import AttentionDecoder
from keras_attention.models.recurrent.recurrent_cells import CELLS, SEQUENCE_LAYERS, check_cell


@keras.saving.register_keras_serializable(package="keras_attention")
class Forecaster(ArgumentAttributes, keras.Model):
    """Reads a window of a series, and goes on with it step by step.

    A recurrent encoder reads the window; an `AttentionDecoder` over vectors starts from its state
    and its last observation, attends to its outputs at every step, and reads what it said at the
    step before. In training it reads the target instead, or a mixture, see `sampling`.

    Each window is standardised by its own mean and standard deviation, and the forecast put back:
    windows of any level can be read, and a trend be followed beyond all levels of training.

    Masking: a step of the window that holds a NaN was not observed; it is not read, wherever it
    is. Windows of different lengths are padded with NaN.

    Example:

    ```python
    months = np.arange(240.0)
    sales = (100 + months + 20 * np.sin(2 * np.pi * months / 12))[:, None]
    windows = np.stack([sales[i : i + 48] for i in range(190)])
    past, future = windows[:, :36], windows[:, 36:]
    model = Forecaster(units=16, horizon=12, attention=BahdanauAttention(16))
    model.compile("adam", "mae")
    model.fit({"values": past, "target": future}, future, verbose=0)
    forecast, alignment = model.forecast(sales[None, -36:], return_attention_scores=True)
    ```

    Args:
        units: size of the state of encoder and decoder.
        horizon: steps of a forecast where no other number is given.
        attention: an attention layer of this package.
        features: F, values to forecast at each step.
        covariates: C, further values at each step of the window, which stand after those to
            forecast and are read as they are, without being standardised.
        cell: `"gru"` or `"lstm"`.
        sampling: probability of reading in training what the decoder said itself, a number or a
            function of the step such as `LinearSampling`; 0 for teacher forcing.
        standardize: whether windows are standardised.
        seed: integer that makes the sampling repeatable, or None.

    Call arguments:
        inputs: the window `(B, T, F + C)`; or a dict of `"values"`, the window, and for training
            `"target"`, the values `(B, H, F)` that are to be forecast, which each step reads up to
            the one before.
        training: whether to sample, and whether dropout is active.

    Returns:
        The forecast, float32 `(B, H, F)`; without a target of `horizon` steps, each from the ones
        before.

    Raises:
        ValueError: unknown `cell`; a size that is not positive; a window or target of other sizes.

    Reference: Bahdanau, Cho and Bengio, 2015, https://arxiv.org/abs/1409.0473; Bengio et al.,
    2015, https://arxiv.org/abs/1506.03099.
    """

    argument_parts = {
        "attention": lambda self: self.decoder.cell.attentions[0],
        "sampling": lambda self: self.decoder.sampling,
    }

    def __init__(
        self,
        units: int,
        horizon: int,
        attention: Any,
        features: int = 1,
        covariates: int = 0,
        cell: str = "gru",
        sampling: Any = 0.0,
        standardize: bool = True,
        seed: int | None = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        # Values may be beyond what half precision can hold before they are standardised.
        super().__init__(autocast=False, **kwargs)
        sizes = {"units": units, "horizon": horizon, "features": features}
        for name, size in {**sizes, "covariates": covariates}.items():
            if isinstance(size, bool) or not isinstance(size, int) or size < (name in sizes):
                lowest = int(name in sizes)
                raise ValueError(f"Expected an integer {name} >= {lowest}. Received: {name}={size}")
        self.units = units
        self.horizon = horizon
        self.features = features
        self.covariates = covariates
        self.cell = check_cell(cell)
        self.standardize = standardize
        self.seed = seed
        policy = self.dtype_policy
        encoder = SEQUENCE_LAYERS[cell](
            units, return_sequences=True, return_state=True, dtype=policy, name="encoder"
        )
        self.encoder = accept_masks(encoder)
        self.decoder = AttentionDecoder(
            AttentionCell(
                CELLS[cell](units, dtype=policy),
                attention,
                attention_layer_size=units,
                attention_activation="tanh",
                dtype=policy,
            ),
            keras.layers.Dense(features, dtype=policy),
            sampling=sampling,
            seed=seed,
            dtype=policy,
            name="decoder",
        )

    def build(self, input_shape: Any = None) -> None:
        self.encoder.build((None, None, self.features + self.covariates))
        self.decoder.build((None, None, self.features), (None, None, self.units))
        self.decoder.built = True

    def call(self, inputs: Tensor, training: bool | None = None) -> Any:
        inputs = inputs if isinstance(inputs, dict) else {"values": inputs}
        if "target" not in inputs:
            return self.forecast(inputs["values"])
        target = ops.cast(inputs["target"], "float32")
        if target.shape[-1] != self.features or len(target.shape) != 3:
            raise ValueError(
                f"Expected a target (batch, steps, {self.features}). Received: shape={target.shape}"
            )
        last, memory, mask, state, mean, scale = self._read(inputs["values"])
        seen = (target[:, :-1] - mean) / scale
        said = self.decoder(
            ops.concatenate([last[:, None], seen], axis=1),
            memory,
            memory_mask=mask,
            initial_state=state,
            training=training,
        )
        return ops.cast(said, "float32") * scale + mean

    def forecast(
        self, values: Tensor, steps: Any = None, return_attention_scores: bool = False
    ) -> Any:
        """Forecasts `steps` values after each window, or `horizon`.

        Args:
            values: the windows, `(B, T, F + C)`.
            steps: how many, a positive integer.
            return_attention_scores: whether to return the weights, too.

        Returns:
            The forecast, float32 `(B, H, F)`; then, if asked for, what each of its steps attended
            to, `(B, H, T)`.
        """
        if not self.built:  # type: ignore[has-type]
            self.build()
            self.built = True
        last, memory, mask, state, mean, scale = self._read(values)
        said, weights = self.decoder.generate(
            last, memory, steps or self.horizon, memory_mask=mask, initial_state=state
        )
        forecast = ops.cast(said, "float32") * scale + mean
        return (forecast, weights) if return_attention_scores else forecast

    def get_config(self) -> dict[str, Any]:
        serialize = keras.saving.serialize_keras_object
        return {
            **super().get_config(),
            "units": self.units,
            "horizon": self.horizon,
            "attention": serialize(self.decoder.cell.attentions[0]),
            "features": self.features,
            "covariates": self.covariates,
            "cell": self.cell,
            "sampling": serialize(self.decoder.sampling),
            "standardize": self.standardize,
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        deserialize = keras.saving.deserialize_keras_object
        objects = ("attention", "sampling")
        return cls(**{**config, **{name: deserialize(config[name]) for name in objects}})

    def _read(self, values: Tensor) -> tuple[Any, Any, Any, Any, Any, Any]:
        """Last observation, memory, its mask and state, mean and scale of each window."""
        values = ops.cast(values, "float32")
        if len(values.shape) != 3 or values.shape[-1] != self.features + self.covariates:
            raise ValueError(
                f"Expected values (batch, steps, {self.features + self.covariates}). "
                f"Received: shape={values.shape}"
            )
        mask = ops.logical_not(ops.any(ops.isnan(values), axis=-1))
        observed = ops.cast(mask, "float32")[..., None]
        values = ops.where(mask[..., None], values, 0.0)
        own = values[..., : self.features]
        mean, scale = ops.zeros_like(own[:, :1]), ops.ones_like(own[:, :1])
        if self.standardize:
            count = ops.maximum(ops.sum(observed, axis=1, keepdims=True), 1.0)
            mean = ops.sum(own, axis=1, keepdims=True) / count
            square = ops.sum(observed * ops.square(own - mean), axis=1, keepdims=True) / count
            scale = ops.sqrt(ops.where(square > 0, square, 1.0))
        own = observed * (own - mean) / scale
        # The last step that was observed; the first of a window without any, which is 0.
        steps = ops.arange(ops.shape(values)[1])
        place = ops.max(ops.where(mask, steps[None], 0), axis=1)
        last = ops.take_along_axis(own, place[:, None, None], axis=1)[:, 0]
        values = ops.concatenate([own, values[..., self.features :]], axis=-1)
        memory, *state = self.encoder(values, mask=mask)
        return last, memory, mask, state, mean, scale
