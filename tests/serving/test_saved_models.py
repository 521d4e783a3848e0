"""SavedModels of every age and shape, written by TensorFlow, run by the server's half."""

import shutil

import numpy as np
import pytest
import tensorflow as tf

from keras_attention_serving import Client, errors
from keras_attention_serving.runtime.saved_model import SavedModel
from keras_attention_serving.server import Server
from keras_attention_serving.settings.options import Options

v1 = tf.compat.v1
# TensorFlow's own Python says so of everything here that is old.
pytestmark = pytest.mark.filterwarnings("ignore:.*deprecated.*")


def call(model, signature="serving_default", **inputs):
    spec = model.signatures[signature]
    feeds = {spec.inputs[name].name: value for name, value in inputs.items()}
    names = sorted(spec.outputs)
    arrays = model.run(feeds, [spec.outputs[name].name for name in names])
    return {name: array.tolist() for name, array in zip(names, arrays, strict=True)}


def signature(inputs, outputs):
    return {"serving_default": v1.saved_model.predict_signature_def(inputs=inputs, outputs=outputs)}


def multiplying(builder, session, factor, tags, first):
    """Adds a graph that multiplies with a variable, and one without its values if not `first`."""
    x = v1.placeholder(tf.float32, [None], name="x")
    variable = v1.get_variable("factor", initializer=2.0)
    session.run(v1.global_variables_initializer())
    signatures = signature({"x": x}, {"y": tf.multiply(x, variable * factor, name="y")})
    if first:
        builder.add_meta_graph_and_variables(session, tags, signature_def_map=signatures)
    else:
        builder.add_meta_graph(tags, signature_def_map=signatures)


@pytest.fixture(scope="module", params=[False, True], ids=["pb", "pbtxt"])
def two_graphs(request, tmp_path_factory):
    """A SavedModel of TensorFlow 1 with a graph for `serve` and one for `serve` and `fast`."""
    folder = tmp_path_factory.mktemp("two") / "3"
    builder = v1.saved_model.Builder(str(folder))
    for factor, tags in ((1.0, ["serve"]), (3.5, ["serve", "fast"])):
        with v1.Graph().as_default(), v1.Session() as session:
            multiplying(builder, session, factor, tags, first=factor == 1)
    builder.save(as_text=request.param)
    expected = "saved_model.pbtxt" if request.param else "saved_model.pb"
    assert (folder / expected).exists()
    return folder


def test_tensorflow_1(two_graphs):
    with SavedModel(two_graphs) as model:
        assert call(model, x=np.array([3, 5], "f")) == {"y": [6, 10]}


def test_tags_choose_the_graph(two_graphs):
    with SavedModel(two_graphs, tags=["serve", "fast"]) as model:
        assert call(model, x=np.array([3, 5], "f")) == {"y": [21, 35]}
    with pytest.raises(errors.NotFound, match="fast"):
        SavedModel(two_graphs, tags=["fast"])


def test_tags_of_a_server(two_graphs):
    settings = Options(saved_model_tags="serve,fast")
    with (
        Server({"m": two_graphs.parent}, port=0, host="127.0.0.1", settings=settings) as server,
        Client(f"127.0.0.1:{server.port}", timeout=30) as client,
    ):
        assert client.predict("m", {"x": np.ones(1, "f")})["y"] == 7


def write_table(folder, legacy):
    """A look-up table whose words lie in an asset; it is filled by an operation at the start."""
    words = folder.parent / "words.txt"
    words.write_text("zwei\ndrei\nfünf\n")
    builder = v1.saved_model.Builder(str(folder))
    with v1.Graph().as_default(), v1.Session() as session:
        text = v1.placeholder(tf.string, [None], name="text")
        table = tf.lookup.StaticHashTable(  # which notes the file among the graph's assets
            tf.lookup.TextFileInitializer(
                str(words),
                *(tf.string, tf.lookup.TextFileIndex.WHOLE_LINE),
                *(tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER),
            ),
            -1,
        )
        ids = tf.identity(table.lookup(text), name="ids")
        start = v1.tables_initializer()
        session.run(start)
        start = {"legacy_init_op" if legacy else "main_op": start}
        builder.add_meta_graph_and_variables(
            *(session, ["serve"]),
            signature_def_map=signature({"text": text}, {"ids": ids}),
            assets_collection=v1.get_collection(v1.GraphKeys.ASSET_FILEPATHS),
            **start,
        )
    builder.save()
    words.unlink()  # the copy among the model's assets is what counts


@pytest.mark.parametrize("legacy", [False, True], ids=["main_op", "legacy_init_op"])
def test_tables_assets_and_operations_at_the_start(tmp_path, legacy):
    write_table(tmp_path / "model", legacy)
    shutil.move(tmp_path / "model", tmp_path / "moved")  # an asset is found wherever it is
    with SavedModel(tmp_path / "moved") as model:
        words = np.array(["fünf", "zwei", "sieben"], object)
        assert call(model, text=words) == {"ids": [2, 0, -1]}


class Table(tf.Module):
    """The same in TensorFlow 2."""

    def __init__(self, path):
        super().__init__()
        self.words = tf.saved_model.Asset(str(path))
        self.table = tf.lookup.StaticVocabularyTable(
            tf.lookup.TextFileInitializer(
                self.words,
                *(tf.string, tf.lookup.TextFileIndex.WHOLE_LINE),
                *(tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER),
            ),
            1,
        )

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "text")])
    def look_up(self, text):
        return {"ids": self.table.lookup(text)}


def test_tables_of_tensorflow_2(tmp_path):
    words = tmp_path / "words.txt"
    words.write_text("zwei\ndrei\nfünf\n")
    module = Table(words)
    tf.saved_model.save(module, str(tmp_path / "model"), signatures=module.look_up)
    words.unlink()
    with SavedModel(tmp_path / "model") as model:
        words = np.array(["drei", "fünf", "sieben"], object)
        assert call(model, text=words) == {"ids": [1, 2, 3]}


def test_methods_of_estimators(tmp_path):
    """Classify and Regress signatures with tf.Examples, as Estimators exported them."""
    builder = v1.saved_model.Builder(str(tmp_path / "model"))
    with v1.Graph().as_default(), v1.Session() as session:
        examples = v1.placeholder(tf.string, [None], name="examples")
        features = v1.io.parse_example(examples, {"x": v1.FixedLenFeature([], tf.float32)})
        y = tf.identity(features["x"] * 3, name="y")
        signatures = {"serving_default": v1.saved_model.regression_signature_def(examples, y)}
        builder.add_meta_graph_and_variables(session, ["serve"], signature_def_map=signatures)
    builder.save()
    example = tf.train.Example()
    example.features.feature["x"].float_list.value.append(5)
    with SavedModel(tmp_path / "model") as model:
        assert model.signatures["serving_default"].method_name == "tensorflow/serving/regress"
        records = np.array([example.SerializeToString()], object)
        assert call(model, inputs=records) == {"outputs": [15]}


def test_defaults_of_a_signature(tmp_path):
    """An input that a request leaves out has the value that the signature says."""
    builder = v1.saved_model.Builder(str(tmp_path / "m" / "3"))
    with v1.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None], name="x")
        factor = v1.placeholder(tf.float32, [], name="factor")
        signatures = signature({"x": x, "factor": factor}, {"y": tf.multiply(x, factor)})
        default = tf.make_tensor_proto(np.float32(7))
        signatures["serving_default"].defaults["factor"].CopyFrom(default)
        builder.add_meta_graph_and_variables(session, ["serve"], signature_def_map=signatures)
    builder.save()
    with (
        Server({"m": tmp_path / "m"}, port=0, host="127.0.0.1") as server,
        Client(f"127.0.0.1:{server.port}", timeout=30) as client,
    ):
        x = np.array([3, 5], "f")
        assert client.predict("m", {"x": x})["y"].tolist() == [21, 35]
        assert client.predict("m", {"x": x, "factor": np.float32(2)})["y"].tolist() == [6, 10]


def test_a_model_without_variables(tmp_path):
    """Neither TensorFlow 1 nor 2 need files for what is not there."""
    builder = v1.saved_model.Builder(str(tmp_path / "old"))
    with v1.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None], name="x")
        signatures = signature({"x": x}, {"y": tf.multiply(x, 3)})
        builder.add_meta_graph_and_variables(session, ["serve"], signature_def_map=signatures)
    builder.save()
    assert not (tmp_path / "old" / "variables" / "variables.index").exists()
    module = tf.Module()
    module.triple = tf.function(
        lambda x: {"y": 3 * x}, input_signature=[tf.TensorSpec([None], tf.float32, "x")]
    )
    tf.saved_model.save(module, str(tmp_path / "new"), signatures=module.triple)
    shutil.rmtree(tmp_path / "new" / "variables")
    for name in ("old", "new"):
        with SavedModel(tmp_path / name) as model:
            assert call(model, x=np.array([5], "f")) == {"y": [15]}
