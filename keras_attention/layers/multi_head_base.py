"""Heads around the attention template."""

import keras

from keras_attention.layers.arguments import check_positive, fresh
from keras_attention.layers.attention_base import AttentionBase
from keras_attention.ops import dot_scores


class MultiHeadBase(AttentionBase):
    """Scaled dot product in `num_heads` subspaces: `softmax(q . k / sqrt(key_dim))` in each.

    Projects query, key and value to `(B, H, T, key_dim)`, attends in every head, joins the heads
    and projects the result. Reference: Vaswani et al., 2017, https://arxiv.org/abs/1706.03762,
    section 3.2, equation 1.
    """

    def __init__(
        self,
        num_heads,
        key_dim,
        value_dim=None,
        dropout=0.0,
        use_bias=True,
        output_dim=None,
        kernel_initializer="glorot_uniform",
        seed=None,
        **kwargs,
    ):
        super().__init__(dropout=dropout, seed=seed, **kwargs)
        self.num_heads = check_positive(num_heads=num_heads)
        self.key_dim = check_positive(key_dim=key_dim)
        self.value_dim = None if value_dim is None else check_positive(value_dim=value_dim)
        self.output_dim = None if output_dim is None else check_positive(output_dim=output_dim)
        self.use_bias = use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, query_shape, value_shape, key_shape=None):
        key_shape = key_shape or value_shape
        self._check_shapes(query_shape, value_shape, key_shape)
        value_dim = self.value_dim or self.key_dim
        output_dim = self.output_dim or query_shape[-1]
        # The heads come out before the steps: the layout the scores want, without a transpose.
        into_heads = "btd,dhk->bhtk"
        self.query_dense = self._projection("query", into_heads, self.key_dim, query_shape)
        self.key_dense = self._projection("key", into_heads, self.key_dim, key_shape)
        self.value_dense = self._projection("value", into_heads, value_dim, value_shape)
        self.output_dense = keras.layers.EinsumDense(
            "bhtk,hkd->btd",
            output_shape=(None, output_dim),
            bias_axes="d" if self.use_bias else None,
            kernel_initializer=fresh(self.kernel_initializer),
            dtype=self.dtype_policy,
            name="output",
        )
        self.output_dense.build((query_shape[0], self.num_heads, query_shape[1], value_dim))

    def project_query(self, query):
        # Scaled here, before the product: float16 would overflow in it.
        return self.query_dense(query) * self.key_dim**-0.5

    def project_key(self, key):
        return self.key_dense(key)

    def project_value(self, value):
        return self.value_dense(value)

    def score(self, query, key):
        return dot_scores(query, key)

    def project_output(self, context):
        return self.output_dense(context)

    def get_config(self):
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "key_dim": self.key_dim,
            "value_dim": self.value_dim,
            "use_bias": self.use_bias,
            "output_dim": self.output_dim,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }

    def _projection(self, name, equation, dim, input_shape):
        dense = keras.layers.EinsumDense(
            equation,
            output_shape=(self.num_heads, None, dim),
            bias_axes="hk" if self.use_bias else None,
            kernel_initializer=fresh(self.kernel_initializer),
            dtype=self.dtype_policy,
            name=name,
        )
        dense.build(input_shape)
        return dense

    def _mask_for_scores(self, mask):
        return mask if len(mask.shape) == 4 else mask[:, None]  # (B, 1, Tq, Tv)

    def _output_shape(self, query_shape, value_shape):
        return (*query_shape[:-1], self.output_dim or query_shape[-1])

    def _weights_shape(self, query_shape, value_shape):
        return (query_shape[0], self.num_heads, query_shape[1], value_shape[1])
