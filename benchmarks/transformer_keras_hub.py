"""Worker: the model of `transformer_ours.py` of KerasHub's layers, elsewhere installed.

    python benchmarks/transformer_keras_hub.py SIZES_AS_JSON            (keras-hub 0.32)

`generate` is that of `BartSeq2SeqLM`, the encoder-decoder of KerasHub that is nearest: of the same
sizes, but with weights of its own, since its blocks are post-norm and its positions learned.
"""

import json
import sys

import keras
import keras_hub
import numpy as np
import tensorflow as tf
from side_by_side import serve

SIZES = json.loads(sys.argv[1])
BATCH, SOURCE, TARGET = SIZES["batch"], SIZES["source"], SIZES["target"]
UNITS, VOCABULARY, RATE = SIZES["units"], SIZES["vocabulary"], SIZES["rate"]
OPTIONS = {"intermediate_dim": SIZES["inner"], "num_heads": SIZES["heads"], "normalize_first": True}
NORM = {"epsilon": 1e-5}


class Model(keras.Model):
    def __init__(self):
        super().__init__()
        layers, hub = range(SIZES["layers"]), keras_hub.layers
        self.source = keras.layers.Embedding(VOCABULARY, UNITS)
        self.target = keras.layers.Embedding(VOCABULARY, UNITS)
        self.positions = hub.SinePositionEncoding()
        options = {**OPTIONS, "layer_norm_epsilon": 1e-5}
        self.encoder = [hub.TransformerEncoder(**options) for _ in layers]
        self.decoder = [hub.TransformerDecoder(**options) for _ in layers]
        self.encoder_norm = keras.layers.LayerNormalization(**NORM)
        self.decoder_norm = keras.layers.LayerNormalization(**NORM)
        self.logits = keras.layers.Dense(VOCABULARY)

    def embed(self, table, tokens):
        x = table(tokens) * UNITS**0.5
        return x + self.positions(x)

    def call(self, source, target):
        mask = source != 0
        memory = self.embed(self.source, source)
        for block in self.encoder:
            memory = block(memory, padding_mask=mask)
        memory, x = self.encoder_norm(memory), self.embed(self.target, target)
        for block in self.decoder:
            x = block(x, memory, encoder_padding_mask=mask)
        return self.logits(self.decoder_norm(x))


MODEL, START, DATA = Model(), [], {}


def attention(layer, arrays, name):
    yield from zip(
        [
            *(layer._query_dense.kernel, layer._query_dense.bias),
            *(layer._key_dense.kernel, layer._key_dense.bias),
            *(layer._value_dense.kernel, layer._value_dense.bias),
            *(layer._output_dense.kernel, layer._output_dense.bias),
        ],
        [
            arrays[f"{name}/{part}/{kind}"]
            for part in ("query", "key", "value", "output")
            for kind in ("kernel", "bias")
        ],
        strict=True,
    )


def norm(layer, arrays, name):
    yield layer.gamma, arrays[f"{name}/weight"]
    yield layer.beta, arrays[f"{name}/bias"]


def dense(layer, arrays, name):
    yield layer.kernel, arrays[f"{name}/kernel"]
    yield layer.bias, arrays[f"{name}/bias"]


def pairs(arrays):
    yield MODEL.source.embeddings, arrays["encoder/embedding"]
    yield MODEL.target.embeddings, arrays["decoder/embedding"]
    for i, block in enumerate(MODEL.encoder):
        yield from attention(block._self_attention_layer, arrays, f"encoder/{i}/self")
        norms = [block._self_attention_layer_norm, block._feedforward_layer_norm]
        yield from rest(block, norms, arrays, f"encoder/{i}")
    for i, block in enumerate(MODEL.decoder):
        yield from attention(block._self_attention_layer, arrays, f"decoder/{i}/self")
        yield from attention(block._cross_attention_layer, arrays, f"decoder/{i}/cross")
        norms = [
            block._self_attention_layer_norm,
            block._cross_attention_layer_norm,
            block._feedforward_layer_norm,
        ]
        yield from rest(block, norms, arrays, f"decoder/{i}")
    yield from norm(MODEL.encoder_norm, arrays, "encoder/norm")
    yield from norm(MODEL.decoder_norm, arrays, "decoder/norm")
    yield from dense(MODEL.logits, arrays, "logits")


def rest(block, norms, arrays, name):
    for j, layer in enumerate(norms, start=1):
        yield from norm(layer, arrays, f"{name}/norm{j}")
    yield from dense(block._feedforward_intermediate_dense, arrays, f"{name}/dense1")
    yield from dense(block._feedforward_output_dense, arrays, f"{name}/dense2")


def setup(arrays):
    DATA["source"] = tf.constant(arrays.pop("sources"))
    DATA["target"] = tf.constant(arrays.pop("targets"))
    MODEL(DATA["source"], DATA["target"][:, :-1])
    START.extend((weight, np.reshape(x, weight.shape)) for weight, x in pairs(arrays))
    if len(START) != len(MODEL.trainable_weights):
        raise RuntimeError(f"{len(START)} weights of {len(MODEL.trainable_weights)}")
    reset()


def reset():
    for weight, value in START:
        weight.assign(value)


def step(source, target):
    with tf.GradientTape() as tape:
        logits = MODEL(source, target[:, :-1])
        losses = keras.losses.sparse_categorical_crossentropy(
            target[:, 1:], logits, from_logits=True
        )
        loss = tf.reduce_mean(losses)
    values = [weight.value for weight in MODEL.trainable_weights]
    for value, gradient in zip(values, tape.gradient(loss, values), strict=True):
        value.assign_sub(RATE * tf.convert_to_tensor(gradient))
    return loss


def trainer(**options):
    compiled = tf.function(step, **options)

    def train(request):
        count = int(request.get("steps", 0))
        if count:
            reset()
        losses = [float(compiled(DATA["source"], DATA["target"])) for _ in range(count or 1)]
        return {"losses": np.array(losses)}

    return train


def bart(batch):
    backbone = keras_hub.models.BartBackbone(
        vocabulary_size=VOCABULARY,
        num_layers=SIZES["layers"],
        num_heads=SIZES["heads"],
        hidden_dim=UNITS,
        intermediate_dim=SIZES["inner"],
        dropout=0.0,
        max_sequence_length=max(SOURCE, TARGET + 1),
    )
    model = keras_hub.models.BartSeq2SeqLM(backbone, preprocessor=None)
    model.compile(sampler="greedy")
    target = np.zeros((batch, TARGET + 1), "int32")
    target[:, 0] = 2
    inputs = {
        "encoder_token_ids": np.random.default_rng(0).integers(4, VOCABULARY, (batch, SOURCE)),
        "encoder_padding_mask": np.ones((batch, SOURCE), bool),
        "decoder_token_ids": target,
        "decoder_padding_mask": np.arange(TARGET + 1) < np.ones((batch, 1)),
    }

    def generate(_):
        found = model.generate(inputs, stop_token_ids=None)
        ids = np.asarray(found["decoder_token_ids"])
        if ids.shape != (batch, TARGET + 1):
            raise RuntimeError(f"Answers of shape {ids.shape}")
        return {"ids": ids[:, 1:]}

    return generate


serve(
    {
        "setup": setup,
        "train": trainer(),
        "train_xla": trainer(jit_compile=True),
        f"greedy_{BATCH}": bart(BATCH),
        "greedy_1": bart(1),
    }
)
