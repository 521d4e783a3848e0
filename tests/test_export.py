import json
import os
import stat
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import prediction_log_pb2

import keras_attention as ka
from keras_attention.exporting import warmup_requests
from keras_attention.exporting.signatures import TextSignatures, decode_ids
from tests.tiny_run import trained, trained_model

WARMUP = ("3 may 2021", "")
TEXTS = ["3 May 2021", "", "17 日 2004 ~", "１ Ｊａｎ 1990", "x" * 40, "7 Aug 2011", " "]
MAX_LENGTH = 11


def export_run(path, **options):
    source, target = trained().tokenizers()
    tokenizers = {"source_tokenizer": source, "target_tokenizer": target}
    return ka.export(trained_model(), path, max_length=MAX_LENGTH, **tokenizers, **options)


@pytest.fixture(scope="module")
def version(tmp_path_factory):
    return export_run(tmp_path_factory.mktemp("saved_models") / "dates", warmup=WARMUP)


@pytest.fixture(scope="module")
def meta_graph(version):
    saved_model = saved_model_pb2.SavedModel.FromString((version / "saved_model.pb").read_bytes())
    (meta_graph,) = saved_model.meta_graphs
    return meta_graph


def described(infos):
    return {
        name: (info.dtype, [d.size for d in info.tensor_shape.dim]) for name, info in infos.items()
    }


def test_signatures(meta_graph):
    string, int32, float32, boolean = 7, 3, 1, 10
    ints, floats = (int32, [-1]), (float32, [-1])
    constraints = {
        **{"prefix": (string, [-1]), "max_length": ints, "min_length": ints},
        **{"repetition_penalty": floats, "no_repeat_ngram": ints},
    }
    signatures = {k: v for k, v in meta_graph.signature_def.items() if not k.startswith("__")}
    assert set(signatures) == {"serving_default", "score", "decode_ids", "beam", "sample"}
    inputs = {name: described(s.inputs) for name, s in signatures.items()}
    assert inputs == {
        "serving_default": {"text": (string, [-1])},
        "score": {"text": (string, [-1]), "target": (string, [-1])},
        "decode_ids": {"ids": (int32, [-1, -1]), "lengths": (int32, [-1])},
        "beam": {
            **{"text": (string, [-1]), "length_penalty": floats, "coverage_penalty": floats},
            **constraints,
        },
        "sample": {
            **{"text": (string, [-1]), "seed": ints, "temperature": floats},
            **{"top_k": ints, "top_p": floats, "min_p": floats},
            **constraints,
        },
    }
    for name, wanted in inputs.items():
        optional = set(wanted) - {"text"} if name in ("beam", "sample") else set()
        assert set(signatures[name].defaults) == optional
    dtypes = {n: {k: i.dtype for k, i in s.outputs.items()} for n, s in signatures.items()}
    answer = {
        **{"text": string, "score": float32, "alignment": float32},
        **{"finished": boolean, "truncated": boolean},
        **{"source_pieces": string, "target_pieces": string},
    }
    assert dtypes == {
        "serving_default": answer,
        "sample": answer,
        "beam": {**answer, "log_probability": float32},
        "score": {"score": float32, "truncated": boolean},
        "decode_ids": {
            **{"ids": int32, "lengths": int32, "score": float32, "alignment": float32},
            **{"finished": boolean, "truncated": boolean},
        },
    }


def test_only_ops_that_a_server_has(meta_graph):
    nodes = [*meta_graph.graph_def.node]
    for function in meta_graph.graph_def.library.function:
        nodes += function.node_def
    ops = {node.op for node in nodes}
    code = "from tensorflow.python.framework import op_def_registry as r\n" + "\n".join(
        f"r.get({op!r}) is None and print({op!r})" for op in sorted(ops)
    )
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-c", code]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    functions = {f.signature.name for f in meta_graph.graph_def.library.function}
    unknown = set(run.stdout.split()) - functions
    assert unknown and all(op.startswith("Sentencepiece") for op in unknown)
    assert not [op for op in ops if any(bad in op for bad in ("Xla", "PyFunc", "EagerPy"))]
    compiled = [
        f.signature.name
        for f in meta_graph.graph_def.library.function
        if f.attr["_XlaMustCompile"].b
    ]
    assert compiled == []


PROOF = """
import json, sys
import numpy as np
from keras_attention_serving.protocol import tensors
from keras_attention_serving.runtime.saved_model import SavedModel

folder, inputs, output = sys.argv[1:]
with SavedModel(folder) as model:
    for i, (name, feeds) in enumerate(json.load(open(inputs))):
        signature = model.signatures[name]
        arrays = {
            signature.inputs[k].name: np.array([s.encode() for s in v], object)
            if isinstance(v[0], str) else np.array(v, "f" if isinstance(v[0], float) else "i")
            for k, v in feeds.items()
        }
        for k, default in signature.defaults.items():
            arrays.setdefault(signature.inputs[k].name, tensors.to_array(default))
        names = sorted(signature.outputs)
        found = model.run(arrays, [signature.outputs[n].name for n in names])
        np.savez(f"{output}/{i}.npz", **dict(zip(names, found, strict=True)))
strangers = {"keras", "keras_attention", "tensorflow", "jax", "torch"} & set(sys.modules)
assert not strangers, strangers
"""


def in_another_process(version, folder, calls):
    """What TensorFlow's C runtime answers in a process that never imports Keras."""
    (folder / "calls.json").write_text(json.dumps(calls))
    command = [sys.executable, "-c", PROOF, version, folder / "calls.json", folder]
    environment = {**os.environ, "PYTHONPATH": "serving", "TF_CPP_MIN_LOG_LEVEL": "3"}
    subprocess.run(list(map(str, command)), env=environment, check=True)
    return [np.load(folder / f"{i}.npz", allow_pickle=True) for i in range(len(calls))]


def test_the_proof(version, tmp_path):
    """Loaded without Keras it answers bit for bit what the model answers in a graph of Keras'."""
    signatures = TextSignatures(trained_model(), *trained().tokenizers(), MAX_LENGTH)
    answer, score = tf.function(signatures.answer), tf.function(signatures.score)
    ids = np.random.default_rng(0).integers(4, 20, (5, 7)).tolist()
    lengths = [7, 1, 4, 0, 6]
    batches = [TEXTS, TEXTS[:1], TEXTS[1:2], TEXTS[2:5], TEXTS[::-1]]
    pairs = {"text": TEXTS[:3], "target": ["2021-05-03", "", "~日"]}
    calls = [("serving_default", {"text": texts}) for texts in batches]
    calls += [("score", pairs), ("decode_ids", {"ids": ids, "lengths": lengths})]
    *answers, scores, found = in_another_process(version, tmp_path, calls)
    expected = [answer(tf.constant(texts)) for texts in batches]
    expected.append(score(**{k: tf.constant(v) for k, v in pairs.items()}))
    expected.append(
        tf.function(lambda i, n: decode_ids(trained_model(), i, n, MAX_LENGTH))(
            tf.constant(ids), tf.constant(lengths)
        )
    )
    for outputs, wanted in zip([*answers, scores, found], expected, strict=True):
        assert set(outputs) == set(wanted)
        for name, value in wanted.items():
            np.testing.assert_array_equal(outputs[name], value.numpy())
    assert len(set(answers[0]["score"].tolist())) >= len(TEXTS) - 1  # " " is as good as ""
    # The padding that TensorFlow Serving makes, copies of the first token, changes nothing.
    cut = [row[:n] + row[:1] * (7 - n) for row, n in zip(ids, lengths, strict=True)]
    padded = decode_ids(trained_model(), tf.constant(cut), tf.constant(lengths), MAX_LENGTH)
    np.testing.assert_array_equal(padded["ids"], found["ids"])
    np.testing.assert_allclose(padded["score"], found["score"], rtol=1e-5)


SEARCHES = [
    ("beam", {}),
    (
        "beam",
        {
            **{"length_penalty": [0.0, 1.5, 0.5], "coverage_penalty": [0.4]},
            **{"max_length": [5, 11, 1], "min_length": [3]},
            **{"prefix": ["20", "", "1"], "no_repeat_ngram": [0, 1, 2]},
            **{"repetition_penalty": [1.0, 2.0, 1.0]},
        },
    ),
    ("sample", {}),
    (
        "sample",
        {
            **{"seed": [7, -1, 0], "temperature": [0.0, 0.7, 2.0], "top_p": [1.0, 0.9, 0.5]},
            **{"top_k": [3], "min_p": [0.1, 0.0, 0.0], "prefix": ["", "19", ""]},
        },
    ),
]


def test_the_proof_for_searches(version, tmp_path):
    """Settings that a request leaves out have their defaults, which change nothing."""
    signatures = TextSignatures(trained_model(), *trained().tokenizers(), MAX_LENGTH)
    texts = TEXTS[:3]
    calls = [(name, {"text": texts, **settings}) for name, settings in SEARCHES]
    for (name, settings), found in zip(
        SEARCHES, in_another_process(version, tmp_path, calls), strict=True
    ):
        settings = {k: tf.constant(v) for k, v in settings.items()}
        answer = tf.function(getattr(signatures, name))
        wanted = answer(tf.constant(texts), **settings)
        assert set(found) == set(wanted)
        for output, value in wanted.items():
            if value.dtype == tf.float32:  # constants are folded where settings are no inputs
                np.testing.assert_allclose(found[output], value, rtol=1e-5, atol=1e-6)
            else:
                np.testing.assert_array_equal(found[output], value)


def test_warmup_records(version):
    path = version / "assets.extra" / "tf_serving_warmup_requests"
    records = list(tf.data.TFRecordDataset(str(path)).as_numpy_iterator())
    requests = [
        prediction_log_pb2.PredictionLog.FromString(record).predict_log.request
        for record in records
    ]
    texts = {name: [] for name in ("serving_default", "score", "beam", "sample")}
    for request in requests:
        if request.model_spec.signature_name != "decode_ids":
            (text,) = request.inputs["text"].string_val
            texts[request.model_spec.signature_name].append(text.decode())
    assert texts == dict.fromkeys(texts, list(WARMUP))
    assert len(requests) == 5 * len(WARMUP)
    assert {r.model_spec.name for r in requests} == {"dates"}


def test_files(version):
    assert version.name == "1"
    assert [p.name for p in version.parent.iterdir()] == ["1"]
    assert stat.S_IMODE(version.stat().st_mode) == 0o755


def dense():
    keras.utils.set_random_seed(3)
    a, b = keras.Input((3,), name="a"), keras.Input((None, 5), name="b", dtype="int32")
    x = keras.layers.Dense(7, name="first")(a)
    y = keras.layers.Rescaling(1, offset=1, dtype="int32", name="second")(b)
    return keras.Model([a, b], [x, y])


def test_any_other_model(tmp_path):
    model = dense()
    served = tf.saved_model.load(ka.export(model, tmp_path / "m")).signatures["serving_default"]
    a, b = np.ones((2, 3), "float32"), np.ones((2, 11, 5), "int32")
    found = served(a=tf.constant(a), b=tf.constant(b))
    assert set(found) == {"first", "second"}
    np.testing.assert_array_equal(found["first"], model([a, b])[0])
    np.testing.assert_array_equal(found["second"], b + 1)


def test_both_outputs_of_one_layer(tmp_path):
    query, memory = keras.Input((None, 5), name="query"), keras.Input((None, 7), name="memory")
    layer = ka.BahdanauAttention(11, name="attention")
    model = keras.Model([query, memory], layer(query, memory, return_attention_scores=True))
    served = tf.saved_model.load(ka.export(model, tmp_path / "m")).signatures["serving_default"]
    q, m = (np.random.default_rng(0).random(s).astype("float32") for s in ((2, 3, 5), (2, 13, 7)))
    found = served(query=tf.constant(q), memory=tf.constant(m))
    context, weights = model([q, m])
    assert set(found) == {"attention", "attention_1"}
    np.testing.assert_allclose(found["attention"], context, rtol=1e-6)
    np.testing.assert_allclose(found["attention_1"], weights, rtol=1e-6)


def test_masks_behind_layers_that_drop_them(tmp_path):
    tokens = keras.Input((None,), dtype="int32", name="tokens")
    x = keras.layers.Embedding(11, 7, mask_zero=True)(tokens)
    x = ka.KeepMask(keras.layers.Bidirectional(keras.layers.GRU(5, return_sequences=True)))(x)
    x = ka.KeepMask(keras.layers.LSTM(3, return_sequences=True))(x)
    _, weights = ka.BahdanauAttention(3)(x, x, return_attention_scores=True)
    model = keras.Model(tokens, {"weights": weights})
    served = tf.saved_model.load(ka.export(model, tmp_path / "m")).signatures["serving_default"]
    ids = np.array([[7, 2, 5, 0, 0], [3, 1, 4, 6, 2]], "int32")
    found = served(tokens=tf.constant(ids))["weights"].numpy()
    np.testing.assert_allclose(found, model(ids)["weights"], atol=1e-6)
    np.testing.assert_array_equal(found[0, :, 3:], np.zeros((5, 2)))


def test_versions(tmp_path):
    model = keras.Sequential([keras.Input((3,), name="x"), keras.layers.Dense(5)])
    path = tmp_path / "new" / "m"
    first = ka.export(model, path)
    assert first.name == "1"
    (output,) = tf.saved_model.load(first).signatures["serving_default"].structured_outputs
    assert output == model.layers[0].name
    assert ka.export(model, path, version=7).name == "7"
    (path / "notes").mkdir()
    (path / "0012").mkdir()
    assert ka.export(model, path).name == "13"
    for taken in (7, 12):
        with pytest.raises(FileExistsError, match="not there yet. Received: .*m/0*" + str(taken)):
            ka.export(model, path, version=taken)
    for bad in (0, -1, 1.0, "2", True):
        with pytest.raises(ValueError, match=f"positive integer. Received: {bad!r}"):
            ka.export(model, path, version=bad)
    assert {p.name for p in path.iterdir()} == {"1", "7", "0012", "13", "notes"}


def test_a_failure_leaves_nothing_behind(tmp_path, monkeypatch):
    error = KeyboardInterrupt()

    def write(folder, name, texts):
        assert (folder / "saved_model.pb").exists()
        assert not folder.name.isdecimal()
        raise error

    monkeypatch.setattr(warmup_requests, "write", write)
    with pytest.raises(type(error)):
        export_run(tmp_path / "m", warmup=["7 may 2021"], searches=())
    assert list((tmp_path / "m").iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"source_tokenizer": 1}, "both tokenizers or none"),
        ({"target_tokenizer": 1}, "both tokenizers or none"),
        ({"source_tokenizer": 1, "target_tokenizer": 1}, "a Seq2Seq along with tokenizers"),
        ({"warmup": ["a"]}, "only along with tokenizers"),
        ({"searches": ["bean"]}, "searches out of .*Received: searches=\\['bean'\\]"),
        ({"presets": {"free": ("sample", {})}}, "a Seq2Seq along with presets"),
    ],
)
def test_arguments_that_do_not_fit(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        ka.export(dense(), tmp_path / "m", **arguments)
    assert not (tmp_path / "m").exists()


def test_a_single_string_is_no_list_of_warmup_texts(tmp_path):
    with pytest.raises(ValueError, match="list of warmup texts. Received: warmup='may'"):
        export_run(tmp_path / "m", warmup="may")


def test_models_that_are_not_built(tmp_path):
    with pytest.raises(ValueError, match="a built model"):
        ka.export(ka.RNNSeq2Seq(11, 13, units=5), tmp_path / "m")
    with pytest.raises(ValueError, match="known inputs"):
        ka.export(keras.Sequential([keras.layers.Dense(3)]), tmp_path / "m")


def test_another_backend(tmp_path, monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(ValueError, match="TensorFlow backend: save.*Received: backend='jax'"):
        ka.export(dense(), tmp_path / "m")


def test_searches_are_written_if_they_are_wanted(tmp_path):
    path = ka.export(trained_model(), tmp_path / "m", max_length=3, searches=["sample"])
    assert set(tf.saved_model.load(path).signatures) == {"serving_default", "sample"}
    source, target = trained().tokenizers()
    given = {"source_tokenizer": source, "target_tokenizer": target, "max_length": 3}
    path = ka.export(trained_model(), tmp_path / "m", searches=(), **given)
    saved_model = saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes())
    names = {k for k in saved_model.meta_graphs[0].signature_def if not k.startswith("__")}
    assert names == {"serving_default", "score", "decode_ids"}


def test_a_model_without_tokenizers_answers_ids(tmp_path):
    model = trained_model()
    presets = {"best": ("beam", {"length_penalty": 0.6})}
    path = ka.export(model, tmp_path / "m", max_length=3, presets=presets)
    served = tf.saved_model.load(path).signatures
    assert set(served) == {"serving_default", "beam", "sample", "best"}
    ids, lengths = tf.constant([[5, 6, 7], [8, 9, 9]]), tf.constant([3, 1])
    found = served["serving_default"](ids=ids, lengths=lengths)
    expected = model.decode(np.array([[5, 6, 7], [8, 0, 0]]), max_length=3)
    np.testing.assert_array_equal(found["ids"], expected.ids[:, : found["ids"].shape[1]])
    np.testing.assert_allclose(found["score"], expected.score, rtol=1e-5)
    found = served["best"](ids=ids, lengths=lengths)
    source = np.array([[5, 6, 7], [8, 0, 0]])
    expected = model.beam_search(source, max_length=3, n_best=5, length_penalty=0.6)
    np.testing.assert_allclose(found["score"], expected.score, rtol=1e-5)
