"""Dot-product attention on TensorFlow in blocks: its memory grows with the length, not its square.

No block of scores outlives its use. Forward, the softmax is kept up to date while key blocks pass
by (online softmax: Milakov and Gimelshein, 2018, https://arxiv.org/abs/1805.02867); for the way
back, only the output and the log of each row's sum are kept and the blocks are computed again (Dao
et al., 2022, FlashAttention, https://arxiv.org/abs/2205.14135, algorithms 1 and 4).

Shapes: B batch, K heads of key and value, R query heads that share one of them, Tq and Tv steps, D
features. A block is `(b, K, R, rows, columns)`: b sequences, some rows of queries, some columns of
keys. Loops are `tf.while_loop` over TensorArrays, which TensorFlow Serving runs and XLA compiles.
"""

import numpy as np
import tensorflow as tf

# Masked scores, and the log of a sum that has no term yet: below every score that counts, and the
# one so far below the other that masked scores come out of the exponential as 0. Both are finite,
# since the difference of two infinities is NaN.
_MASKED = float(np.finfo("float32").min) / 2
_NOTHING = float(np.finfo("float32").min) / 4


def blocked_attention(
    query,
    key,
    value,
    mask,
    bias,
    sinks,
    spoilt,
    seed,
    *,
    causal,
    window,
    soft_cap,
    dropout,
    block=None,
):
    """Context `(B, H, Tq, Dv)`: see `keras_attention.ops.dot_product_attention`.

    Args:
        spoilt: boolean `(B, K, Tv)`, keys or values that held a NaN or an infinity before they were
            cleaned, or None. Who may see one gets NaN.
        seed: integers `(2,)` for the dropout, or None.
        block: most rows and most columns of a block; by default what was measured to be fastest.
        The rest: as for that function, with masks and biases of rank 4.
    """
    attend = _attend_in_graph if tf.executing_eagerly() else _attend
    options = {"causal": causal, "window": window, "soft_cap": soft_cap, "dropout": dropout}
    return attend(query, key, value, mask, bias, sinks, spoilt, seed, block=block, **options)


def _attend(query, key, value, mask, bias, sinks, spoilt, seed, *, block, **options):
    given = {"query": query, "key": key, "value": value, "bias": bias, "sinks": sinks}
    given = {name: tensor for name, tensor in given.items() if tensor is not None}

    @tf.custom_gradient
    def attend(*tensors):
        blocks = _Blocks(
            **dict(zip(given, tensors, strict=True)),
            mask=mask,
            spoilt=spoilt,
            seed=seed,
            size=block,
            **options,
        )
        output, logs, sees_spoilt = blocks.forward()
        shown = output
        if sees_spoilt is not None:
            shown = tf.where(sees_spoilt, tf.constant(np.nan, output.dtype), output)

        def gradient(d_output):
            if sees_spoilt is not None:
                d_output = tf.where(sees_spoilt, tf.zeros([], d_output.dtype), d_output)
            return _once(blocks.backward, d_output, output, logs, tensors)

        return shown, gradient

    return attend(*given.values())


# Without it, each block would be a dozen calls from Python.
_attend_in_graph = tf.function(_attend, autograph=False)


def _once(backward, d_output, output, logs, tensors):
    """`backward(...)`, which must not be differentiated again."""

    @tf.custom_gradient
    def first_order(d_output, output, logs, *tensors):
        def second_order(*_):
            raise NotImplementedError(
                "Expected first-order gradients of blocked dot-product attention. For gradients of "
                "gradients ask for the weights, return_attention_scores=True: no blocks then."
            )

        return backward(d_output, output, logs), second_order

    return first_order(d_output, output, logs, *tensors)


class _Blocks:
    """One call, cut into blocks. Rows and columns are counted from the first query and key."""

    def __init__(
        self,
        query,
        key,
        value,
        mask,
        spoilt,
        seed,
        size,
        causal,
        window,
        soft_cap,
        dropout,
        bias=None,
        sinks=None,
    ):
        self.dtype = tf.float64 if query.dtype == tf.float64 else tf.float32
        self.in_xla = _in_xla()
        self.causal, self.window = causal, window
        self.soft_cap, self.dropout, self.seed = soft_cap, dropout, seed
        self.inputs = {"query": query, "key": key, "value": value, "bias": bias, "sinks": sinks}
        batch, heads, self.query_length, features = _shape(query)
        _, self.kv_heads, self.value_length, value_features = _shape(value)
        self.shared = heads // self.kv_heads
        most_rows, most_columns = size or (512, 512)
        self.count_q, self.rows = _cut(self.query_length, most_rows)
        self.count_k, self.columns = _cut(self.value_length, most_columns)
        # Short sequences share a block, long ones have their own: its size is bounded either way.
        together = _largest(1, most_rows * most_columns // (self.rows * self.columns))
        self.count_b, self.group = _cut(batch, together)
        self.batch = batch
        self.offset = self.value_length - self.query_length  # of a query's own position
        self.padded = self.columns * self.count_k
        self.may_be_padded = tf.is_tensor(self.padded) or self.padded != self.value_length

        group, rows, columns = self.group, self.rows, self.columns
        self.sizes = {"b": group, "q": rows, "k": columns}
        self.counts = {"b": self.count_b, "q": self.count_q, "k": self.count_k}
        self.query = self._pad(self._by_head(query), "b..q.")
        self.key = self._pad(key, "b.k.")
        self.value = self._pad(value, "b.k.")
        self.mask = None if mask is None else self._pad(self._by_pair(mask), "b..qk")
        self.bias = None if bias is None else self._pad(self._by_pair(bias), "b..qk")
        self.spoilt = None if spoilt is None else self._pad(spoilt, "b.k")
        self.value_features, self.features = value_features, features

    # Forward

    def forward(self):
        """Output `(B, H, Tq, Dv)`, logs of the sums, one block a row, and who sees what is spoilt.

        A row's log is that of the sum of its exponentials, so that `exp(score - log)` is its
        weight; of a row with nothing to attend to it is so high that all weights are 0.
        """
        stores = [self._array(self.value.dtype), self._array(self.dtype)]
        if self.spoilt is not None:
            stores.append(self._array(tf.bool))

        def rows(step, *stores):
            at = {"b": step // self.count_q, "q": step % self.count_q}
            query = self._flat(tf.cast(self._pick(self.query, at, "b..q."), self.dtype))
            shape = [self.group, self.kv_heads, self.shared, self.rows]
            log = tf.fill([*shape, 1], tf.cast(_NOTHING, self.dtype))
            if self.inputs["sinks"] is not None:
                log = tf.broadcast_to(self._sinks(), [*shape, 1])
            carry = [log, tf.zeros([*shape, self.value_features], self.dtype)]
            if self.spoilt is not None:
                carry.append(tf.zeros([*shape, 1], tf.bool))

            def column(j, edge, log, mixed, *sees):
                here = at | {"k": j}
                key = tf.cast(self._pick(self.key, here, "b.k."), self.dtype)
                value = tf.cast(self._pick(self.value, here, "b.k."), self.dtype)

                scores, _, visible = self._scores(query, key, here, edge)
                weights, log_here, factor = self._softmax(scores)
                if self.dropout:
                    weights *= self._dropout_factors(here)
                mixed_here = self._by_row(tf.matmul(self._flat(weights), value)) * factor
                both = _log_add(log, log_here)
                mixed = mixed * tf.exp(log - both) + mixed_here * tf.exp(log_here - both)
                if sees:
                    seen = self._pick(self.spoilt, here, "b.k")[:, :, None, None, :]
                    seen = seen if visible is None else tf.logical_and(seen, visible)
                    sees = [tf.logical_or(sees[0], tf.reduce_any(seen, -1, keepdims=True))]
                return [both, mixed, *sees]

            log, mixed, *sees = self._sweep(at["q"], column, carry)
            log = tf.where(log <= _NOTHING, tf.cast(-_NOTHING, self.dtype), log)
            output = tf.cast(mixed, self.value.dtype)
            found = [output, log, *sees]
            return [step + 1, *(s.write(step, x) for s, x in zip(stores, found, strict=True))]

        _, output, logs, *sees = self._over_rows(rows, stores)
        sees = self._joined(sees[0].stack(), 1) if sees else None
        return self._joined(output.stack(), self.value_features), logs.stack(), sees

    # Backward

    def backward(self, d_output, output, logs):
        """Gradients by query, key, value and, where given, bias and sinks."""
        d_output = tf.cast(d_output, self.dtype)
        # The part of each score's gradient that keeps the sum of the weights at 1.
        kept = tf.reduce_sum(d_output * tf.cast(output, self.dtype), -1, keepdims=True)
        d_output = self._pad(self._by_head(d_output), "b..q.")
        kept = self._pad(self._by_head(kept), "b..q.")
        # What is subtracted from each row of a block can be one more feature, times 1: two passes
        # over the block less. XLA makes one pass of them all anyway.
        in_product = not (self.in_xla or self.soft_cap or self.dropout)
        count = self.count_b * self.count_k
        shape = [count, self.group, self.kv_heads]
        stores = [
            self._array(self.dtype),
            _zeros([*shape, self.features, self.columns], self.dtype),
            _zeros([*shape, self.value_features, self.columns], self.dtype),
        ]
        if self.bias is not None:
            stores.append(_zeros(self._bias_blocks(), self.dtype))

        def rows(step, d_query_rows, *stores):
            at = {"b": step // self.count_q, "q": step % self.count_q}
            query = self._flat(tf.cast(self._pick(self.query, at, "b..q."), self.dtype))
            d_mixed = self._flat(self._pick(d_output, at, "b..q."))
            # Gradients by keys and values are made transposed, (D, columns): then it is these small
            # ones that are transposed and not blocks of scores.
            query_t, d_mixed_t = (tf.linalg.matrix_transpose(x) for x in (query, d_mixed))
            kept_here, log = self._pick(kept, at, "b..q."), logs[step]
            if in_product:
                query_less, d_mixed_less = _with(query, -log), _with(d_mixed, -kept_here)

            def column(j, edge, d_query, d_keys, d_values, *d_biases):
                here = at | {"k": j}
                key = tf.cast(self._pick(self.key, here, "b.k."), self.dtype)
                value = tf.cast(self._pick(self.value, here, "b.k."), self.dtype)
                factors = self._dropout_factors(here) if self.dropout else None
                if in_product:
                    ones = tf.ones_like(key[..., :1])
                    scores, capped, _ = self._scores(query_less, _with(key, ones), here, edge)
                    weights = tf.exp(scores)
                    d_weights = tf.matmul(d_mixed_less, _with(value, ones), transpose_b=True)
                    d_scores = weights * self._by_row(d_weights)
                else:
                    scores, capped, _ = self._scores(query, key, here, edge, minus=log)
                    weights = tf.exp(scores)
                    d_weights = self._by_row(tf.matmul(d_mixed, value, transpose_b=True))
                    d_weights = d_weights * factors if self.dropout else d_weights
                    d_scores = weights * (d_weights - kept_here)
                if d_biases:
                    d_biases = [self._add_bias(d_biases[0], d_scores, here)]
                if self.soft_cap:
                    d_scores *= 1 - tf.square(capped)
                d_scores = self._flat(d_scores)
                mixing = weights * factors if self.dropout else weights
                index = at["b"] * self.count_k + j
                d_key = tf.matmul(query_t, d_scores)
                d_value = tf.matmul(d_mixed_t, self._flat(mixing))
                return [
                    d_query + tf.matmul(d_scores, key),
                    _add(d_keys, index, d_key),
                    _add(d_values, index, d_value),
                    *d_biases,
                ]

            carry = [tf.zeros_like(query), *stores]
            d_query, *stores = self._sweep(at["q"], column, carry)
            return [step + 1, d_query_rows.write(step, self._by_row(d_query)), *stores]

        _, d_query, d_key, d_value, *d_bias = self._over_rows(rows, stores)
        found = {
            "query": self._joined(d_query.stack(), self.features),
            "key": self._joined_keys(d_key.stack(), self.features),
            "value": self._joined_keys(d_value.stack(), self.value_features),
        }
        if d_bias:
            found["bias"] = self._joined_bias(d_bias[0].stack())
        if self.inputs["sinks"] is not None:
            found["sinks"] = self._d_sinks(logs, kept)
        return [tf.cast(d, self.inputs[name].dtype) for name, d in found.items()]

    # One block

    def _scores(self, query, key, at, edge, minus=None):
        """Scores `(b, K, R, rows, columns)`, masked ones low, the capped ones, and the mask."""
        capped = None
        scores = self._by_row(tf.matmul(query, key, transpose_b=True))
        if self.soft_cap:
            capped = tf.tanh(scores / self.soft_cap)
            scores = capped * self.soft_cap
        scores = scores if minus is None else scores - minus
        if self.bias is not None:
            scores += tf.cast(self._pick(self.bias, at, "b..qk"), self.dtype)
            # A bias of minus infinity is a mask too: of a whole row it would make the softmax NaN.
            scores = tf.maximum(scores, tf.cast(_MASKED, self.dtype))
        visible = None if self.mask is None else self._pick(self.mask, at, "b..qk")
        if edge:
            near = self._in_reach(at)
            visible = near if visible is None else tf.logical_and(visible, near)
        if visible is not None:
            scores = tf.where(visible, scores, tf.cast(_MASKED, self.dtype))
        return scores, capped, visible

    def _softmax(self, scores):
        """Weights, logs of their sums, and a factor of each row by which they sum to 1."""
        if self.in_xla:  # which computes the exponentials and their sum in one pass
            peak = tf.reduce_max(scores, -1, keepdims=True)
            weights = tf.exp(scores - peak)
            total = tf.reduce_sum(weights, -1, keepdims=True)
            return weights, peak + tf.math.log(total), 1 / total
        weights = tf.nn.softmax(scores)  # one operation instead of four
        # A score and its weight tell the sum. The largest always do; to look for them takes as long
        # as the softmax itself, and the first of each row does too, unless its weight is next to 0.
        first = weights[..., :1]
        log = tf.cond(
            tf.reduce_min(first) > 1e-30,
            lambda: scores[..., :1] - tf.math.log(first),
            lambda: (
                tf.reduce_max(scores, -1, keepdims=True)
                - tf.math.log(tf.reduce_max(weights, -1, keepdims=True))
            ),
        )
        return weights, log, tf.ones([], self.dtype)

    def _in_reach(self, at):
        """Which columns exist and are within causal reach and window: `(rows, columns)`."""
        row = at["q"] * self.rows + tf.range(self.rows)[:, None] + self.offset
        column = at["k"] * self.columns + tf.range(self.columns)[None, :]
        reach = tf.broadcast_to(column < self.value_length, tf.shape(row + column))
        if self.causal:
            reach = tf.logical_and(reach, column <= row)
        if self.window is not None:
            reach = tf.logical_and(reach, column > row - self.window)
            reach = tf.logical_and(reach, column < row + self.window)
        return reach

    def _dropout_factors(self, at):
        """0 or 1 / (1 - dropout), the same whenever this block is computed."""
        block = (at["b"] * self.count_q + at["q"]) * self.count_k + at["k"]
        shape = [self.group, self.kv_heads, self.shared, self.rows, self.columns]
        seed = tf.stack([self.seed[0], self.seed[1] + block])
        draw = tf.random.stateless_uniform(shape, seed, dtype=tf.float32)
        kept = tf.cast(draw >= self.dropout, self.dtype)
        return kept / (1 - self.dropout)

    # Which blocks

    def _over_rows(self, body, stores):
        count = self.count_b * self.count_q
        return tf.while_loop(
            lambda step, *_: step < count, body, [0, *stores], parallel_iterations=1
        )

    def _sweep(self, i, column, carry):
        """Over the key blocks that row block `i` sees any of; at the edges, masks by position."""
        first, inner, last = self._reach(i)
        for begin, end, edge in ((first, inner, False), (inner, last, True)):
            if not tf.is_tensor(begin) and not tf.is_tensor(end) and begin >= end:
                continue

            def body(j, *carry, edge=edge):
                found = column(j, edge, *carry)
                for new, old in zip(found, carry, strict=True):
                    if tf.is_tensor(new):  # a size that is not known now is the same in each turn
                        new.set_shape(old.shape)
                return [j + 1, *found]

            _, *carry = tf.while_loop(
                lambda j, *_, end=end: j < end, body, [begin, *carry], parallel_iterations=1
            )
        return carry

    def _reach(self, i):
        """Key blocks from `first` to before `last` are seen; before `inner`, by every row."""
        first, inner, last = 0, self.count_k, self.count_k
        if self.may_be_padded:
            inner = self.value_length // self.columns
        if self.causal or self.window is not None:
            top = i * self.rows + self.offset
            bottom = top + self.rows - 1
            if self.causal:
                last = tf.clip_by_value(bottom // self.columns + 1, 0, last)
                inner = tf.clip_by_value((top + 1) // self.columns, 0, tf.minimum(inner, last))
            elif self.window is not None:
                last = tf.clip_by_value((bottom + self.window - 1) // self.columns + 1, 0, last)
            if self.window is not None:
                first = tf.clip_by_value((top - self.window + 1) // self.columns, 0, last)
                inner = first
        return first, inner, last

    # Cutting and joining

    def _by_head(self, x):
        """`(B, H, Tq, D)` to `(B, K, R, Tq, D)`."""
        batch, _, steps, features = _shape(x)
        return tf.reshape(x, [batch, self.kv_heads, self.shared, steps, features])

    def _by_pair(self, x):
        """`(B, H, Tq, Tv)`, each size perhaps 1, to rank 5; one not known now is the full one."""
        full = [self.batch, self.kv_heads * self.shared, self.query_length, self.value_length]
        sizes = [one if one == 1 else all_ for one, all_ in zip(x.shape, full, strict=True)]
        if None in tuple(x.shape):
            x = tf.broadcast_to(x, sizes)
        heads = [1, 1] if x.shape[1] == 1 else [self.kv_heads, self.shared]
        return tf.reshape(x, [sizes[0], *heads, *sizes[2:]])

    def _flat(self, x):
        """`(b, K, R, rows, D)` to `(b, K, R * rows, D)`: one product for all that share a key."""
        return tf.reshape(
            x, [self.group, self.kv_heads, self.shared * self.rows, x.shape[-1] or -1]
        )

    def _by_row(self, x):
        last = x.shape[-1] or tf.shape(x)[-1]
        return tf.reshape(x, [self.group, self.kv_heads, self.shared, self.rows, last])

    def _pad(self, x, axes):
        """`x` with whole blocks along the axes named b, q and k, unless of size 1."""
        lengths = {"b": self.batch, "q": self.query_length, "k": self.value_length}
        more = [
            0
            if axis == "." or x.shape[n] == 1
            else self.counts[axis] * self.sizes[axis] - lengths[axis]
            for n, axis in enumerate(axes)
        ]
        return x if all(isinstance(m, int) and m == 0 for m in more) else _pad_end(x, more)

    def _pick(self, x, at, axes):
        """The block of `x` at these indices of blocks."""
        begin, size = [], []
        for n, axis in enumerate(axes):
            whole = axis == "." or x.shape[n] == 1
            begin.append(0 if whole else at[axis] * self.sizes[axis])
            size.append((x.shape[n] or tf.shape(x)[n]) if whole else self.sizes[axis])
        block = tf.slice(x, tf.stack(begin), tf.stack(size))
        block.set_shape([s if isinstance(s, int) else None for s in size])
        return block

    def _array(self, dtype):
        return tf.TensorArray(dtype, self.count_b * self.count_q)

    def _joined(self, x, features):
        """Stacked row blocks `(count_b count_q, b, K, R, rows, D)` to `(B, H, Tq, D)`."""
        x = tf.reshape(x, [self.count_b, self.count_q, *_shape(x)[1:]])
        x = tf.transpose(x, [0, 2, 3, 4, 1, 5, 6])
        length = self.count_q * self.rows
        shape = [self.count_b * self.group, self.kv_heads * self.shared, length, features]
        return tf.reshape(x, shape)[: self.batch, :, : self.query_length]

    def _joined_keys(self, x, features):
        """Stacked column blocks `(count_b count_k, b, K, D, columns)` to `(B, K, Tv, D)`."""
        x = tf.reshape(x, [self.count_b, self.count_k, *_shape(x)[1:]])
        x = tf.transpose(x, [0, 2, 3, 1, 5, 4])
        shape = [self.count_b * self.group, self.kv_heads, self.padded, features]
        return tf.reshape(x, shape)[: self.batch, :, : self.value_length]

    # Gradients of what all blocks share

    def _sinks(self):
        sinks = tf.cast(self.inputs["sinks"], self.dtype)
        return tf.reshape(sinks, [1, self.kv_heads, self.shared, 1, 1])

    def _d_sinks(self, logs, kept):
        logs = self._by_head(self._joined(logs, 1))
        kept = kept[: self.batch, :, :, : self.query_length]
        d_sinks = -tf.reduce_sum(tf.exp(self._sinks() - logs) * kept, [0, 3, 4])
        return tf.reshape(d_sinks, [self.kv_heads * self.shared])

    def _bias_axes(self):
        """How many blocks, and of which size, the bias has along b, q and k."""
        sizes = {"b": self.bias.shape[0], "q": self.bias.shape[3], "k": self.bias.shape[4]}
        counts = {axis: 1 if sizes[axis] == 1 else self.counts[axis] for axis in sizes}
        return counts, {axis: 1 if sizes[axis] == 1 else self.sizes[axis] for axis in sizes}

    def _bias_blocks(self):
        counts, sizes = self._bias_axes()
        count = counts["b"] * counts["q"] * counts["k"]
        heads = _shape(self.bias)[1:3]
        return [count, sizes["b"], *heads, sizes["q"], sizes["k"]]

    def _add_bias(self, d_biases, d_scores, at):
        counts, sizes = self._bias_axes()
        b, q, k = (0 if counts[axis] == 1 else at[axis] for axis in "bqk")
        own = [sizes["b"], *_shape(self.bias)[1:3], sizes["q"], sizes["k"]]
        shared = [n for n, size in enumerate(own) if isinstance(size, int) and size == 1]
        index = (b * counts["q"] + q) * counts["k"] + k
        return _add(d_biases, index, tf.reduce_sum(d_scores, shared, keepdims=True))

    def _joined_bias(self, x):
        counts, sizes = self._bias_axes()
        kv_heads, shared = _shape(self.bias)[1:3]
        x = tf.reshape(x, [counts["b"], counts["q"], counts["k"], *_shape(x)[1:]])
        x = tf.transpose(x, [0, 3, 4, 5, 1, 6, 2, 7])
        full = [counts[axis] * sizes[axis] for axis in "bqk"]
        x = tf.reshape(x, [full[0], kv_heads * shared, full[1], full[2]])
        batch, _, rows, columns = _shape(self.inputs["bias"])
        return x[:batch, :, :rows, :columns]


def _in_xla():
    """Whether what is traced now is for XLA; a matter of speed alone."""
    try:
        from tensorflow.python.ops import control_flow_util
    except ImportError:
        return False
    return control_flow_util.GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph())


def _shape(x):
    """Sizes, as integers where they are known."""
    dynamic = tf.shape(x)
    return [dynamic[n] if size is None else size for n, size in enumerate(x.shape)]


def _cut(length, size):
    """How many blocks of at most `size`, and their equal length: little is left to pad."""
    count = _largest(1, -(-length // size))
    return count, _largest(1, -(-length // count))


def _largest(*values):
    if any(tf.is_tensor(value) for value in values):
        return tf.maximum(*values)
    return max(values)


def _pad_end(x, more):
    return tf.pad(x, [[0, m] for m in more])


def _with(x, column):
    """`x` with one feature more, that has the same elements in another shape."""
    return tf.concat([x, tf.reshape(column, [*_shape(x)[:-1], 1])], -1)


def _log_add(a, b):
    """`log(exp(a) + exp(b))` of finite numbers."""
    return tf.maximum(a, b) + tf.math.log1p(tf.exp(-tf.abs(a - b)))


def _zeros(shape, dtype):
    """A TensorArray of zeros, to add to."""
    array = tf.TensorArray(dtype, shape[0], clear_after_read=False)
    return array.unstack(tf.zeros(shape, dtype))


def _add(array, index, x):
    return array.write(index, array.read(index) + x)
