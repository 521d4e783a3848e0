"""Worker: a `TransformerSeq2Seq`; see `transformer.py`, which starts it.

python benchmarks/transformer_ours.py SIZES_AS_JSON
"""

import functools
import json
import sys
import tempfile
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1])]

import keras  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
from side_by_side import serve  # noqa: E402

import keras_attention as ka  # noqa: E402

SIZES = json.loads(sys.argv[1])
BATCH, SOURCE, TARGET = SIZES["batch"], SIZES["source"], SIZES["target"]
VOCABULARY, RATE = SIZES["vocabulary"], SIZES["rate"]

keras.utils.set_random_seed(0)
MODEL = ka.TransformerSeq2Seq(
    VOCABULARY,
    VOCABULARY,
    units=SIZES["units"],
    num_heads=SIZES["heads"],
    num_layers=SIZES["layers"],
    feedforward_dim=SIZES["inner"],
    end_id=-1,  # no answer ends before it is as long as asked for
)
MODEL.build({"source": (None, None), "target": (None, None)})
generator = np.random.default_rng(0)
START = [
    w.numpy() + (0.02 * generator.standard_normal(w.shape)).astype("float32")
    for w in MODEL.trainable_weights
]
SOURCES = generator.integers(4, VOCABULARY, (BATCH, SOURCE)).astype("int32")
TARGETS = generator.integers(4, VOCABULARY, (BATCH, TARGET + 1)).astype("int32")
TARGETS[:, 0] = 2
LOSS = ka.SequenceCrossentropy()
PAIR = tf.constant(SOURCES), tf.constant(TARGETS)


def reset():
    for weight, value in zip(MODEL.trainable_weights, START, strict=True):
        weight.assign(value)


def attention(layer, name):
    parts = {"query": layer.query_dense, "key": layer.key_dense, "value": layer.value_dense}
    parts["output"] = layer.output_dense
    for part, dense in parts.items():
        yield f"{name}/{part}/kernel", dense.kernel
        yield f"{name}/{part}/bias", dense.bias


def arrays():
    """By name: `encoder/0/self/query/kernel` and so on."""
    for side, stack in {"encoder": MODEL.encoder, "decoder": MODEL.decoder}.items():
        yield f"{side}/embedding", stack.embedding.embeddings
        for i, block in enumerate(stack.blocks):
            name = f"{side}/{i}"
            yield from attention(block.self_attention, f"{name}/self")
            norms = [block.self_attention_norm, block.feedforward_norm]
            if side == "decoder":
                yield from attention(block.cross_attention, f"{name}/cross")
                norms.insert(1, block.cross_attention_norm)
            for j, norm in enumerate(norms, start=1):
                yield f"{name}/norm{j}/weight", norm.gamma
                yield f"{name}/norm{j}/bias", norm.beta
            for j, dense in enumerate([block.expand, block.contract], start=1):
                yield f"{name}/dense{j}/kernel", dense.kernel
                yield f"{name}/dense{j}/bias", dense.bias
        yield f"{side}/norm/weight", stack.last_norm.gamma
        yield f"{side}/norm/bias", stack.last_norm.beta
    yield "logits/kernel", MODEL.decoder.logits.kernel
    yield "logits/bias", MODEL.decoder.logits.bias


def weights(_):
    reset()
    return {name: weight.numpy() for name, weight in arrays()}


def step(source, target):
    with tf.GradientTape() as tape:
        logits = MODEL({"source": source, "target": target[:, :-1]}, training=True)
        loss = LOSS(target[:, 1:], logits)
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
        losses = [float(compiled(*PAIR)) for _ in range(count or 1)]
        return {"losses": np.array(losses)}

    return train


def decode(source):
    return MODEL.decode(source, source_mask=source != 0, max_length=TARGET).ids


def searcher(function, batch):
    source = tf.constant(SOURCES[:batch])

    def search(request):
        if request:
            reset()
        return {"ids": np.asarray(function(source))}

    return search


@functools.cache
def exported():
    """A SavedModel as servers run it: batch and length unknown, no XLA."""
    folder = tempfile.mkdtemp()
    ka.export(MODEL, f"{folder}/model", max_length=TARGET, searches=())
    return tf.saved_model.load(f"{folder}/model/1")


def served(source):
    lengths = tf.fill([tf.shape(source)[0]], SOURCE)
    return exported().signatures["serving_default"](ids=source, lengths=lengths)["ids"]


reset()
FUNCTIONS = {
    "weights": weights,
    "data": lambda _: {"sources": SOURCES, "targets": TARGETS},
    "train": trainer(),
    "train_xla": trainer(jit_compile=True),
}
for batch in (BATCH, 1):
    FUNCTIONS[f"greedy_{batch}"] = searcher(tf.function(decode), batch)
    FUNCTIONS[f"greedy_xla_{batch}"] = searcher(tf.function(decode, jit_compile=True), batch)
    FUNCTIONS[f"greedy_exported_{batch}"] = searcher(served, batch)
serve(FUNCTIONS)
