"""MultiInference, asked by the official stub."""

import grpc
import pytest
import tensorflow as tf
from tensorflow_serving.apis import inference_pb2, prediction_service_pb2_grpc

from keras_attention_serving.server import Server
from keras_attention_serving.settings.options import Options

DEADLINE = 30
CLASSIFY, REGRESS = "tensorflow/serving/classify", "tensorflow/serving/regress"


@pytest.fixture
def request_of(fill_examples):
    def make(*tasks, model="examples"):
        message = inference_pb2.MultiInferenceRequest()
        for signature, method in tasks:
            task = message.tasks.add(method_name=method)
            task.model_spec.name = model
            task.model_spec.signature_name = signature
        return fill_examples(message, {"x": 2}, {"x": 3})

    return make


def failure(method, message):
    with pytest.raises(grpc.RpcError) as caught:
        method(message, timeout=DEADLINE)
    return caught.value.code().name, caught.value.details()


def test_several_tasks(example_stub, request_of):
    message = request_of(("regress", REGRESS), ("", CLASSIFY), ("regress_column", REGRESS))
    first, second, third = example_stub.MultiInference(message, timeout=DEADLINE).results
    assert [entry.value for entry in first.regression_result.regressions] == [14, 21]
    assert [
        [(one.label, one.score) for one in entry.classes]
        for entry in second.classification_result.classifications
    ] == [
        [("two", 4), ("three", 6), ("five", 10)],
        [("two", 6), ("three", 9), ("five", 15)],
    ]
    assert [entry.value for entry in third.regression_result.regressions] == [22, 33]
    assert [
        (one.model_spec.name, one.model_spec.version.value, one.model_spec.signature_name)
        for one in (first, second, third)
    ] == [
        ("examples", 7, "regress"),
        ("examples", 7, "serving_default"),
        ("examples", 7, "regress_column"),
    ]


class Signatures(tf.Module):
    """As TensorFlow 2 exports them: each signature has an input tensor of its own."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="inputs")])
    def classify(self, inputs):
        x = self.x(inputs)
        return {"classes": tf.repeat([["a", "b"]], tf.size(x), 0), "scores": x[:, None] * [5.0, 7]}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="inputs")])
    def regress(self, inputs):
        return {"outputs": 11 * self.x(inputs)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="inputs")])
    def column(self, inputs):
        return {"outputs": 13 * self.x(inputs)[:, None]}

    def x(self, inputs):
        return tf.io.parse_example(inputs, {"x": tf.io.FixedLenFeature([], tf.float32)})["x"]


@pytest.mark.parametrize("batching", [False, True], ids=["alone", "batching"])
def test_every_signature_has_its_input(tmp_path, request_of, batching):
    module = Signatures()
    signatures = {name: getattr(module, name) for name in ("classify", "regress", "column")}
    tf.saved_model.save(module, str(tmp_path / "m" / "2"), signatures=signatures)
    message = request_of(
        ("column", REGRESS), ("classify", CLASSIFY), ("regress", REGRESS), model="m"
    )
    with (
        Server(
            {"m": tmp_path / "m"},
            port=0,
            host="127.0.0.1",
            settings=Options(enable_batching=batching),
        ) as server,
        grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel,
    ):
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        first, second, third = stub.MultiInference(message, timeout=DEADLINE).results
    assert [entry.value for entry in first.regression_result.regressions] == [26, 39]
    assert [
        [(one.label, one.score) for one in entry.classes]
        for entry in second.classification_result.classifications
    ] == [[("a", 10), ("b", 14)], [("a", 15), ("b", 21)]]
    assert [entry.value for entry in third.regression_result.regressions] == [22, 33]


@pytest.mark.parametrize(
    ("tasks", "code", "text"),
    [
        (
            [("nothing", REGRESS)],
            "INVALID_ARGUMENT",
            "Requested signature not found in model graph: nothing",
        ),
        (
            [("regress", REGRESS), ("regress", REGRESS)],
            "INVALID_ARGUMENT",
            "Duplicate evaluation of signature: regress",
        ),
        (
            [("regress", "tensorflow/serving/predict")],
            "UNIMPLEMENTED",
            "Unsupported signature method_name: tensorflow/serving/predict",
        ),
        ([("regress_two", REGRESS)], "INVALID_ARGUMENT", "Expected one output Tensor."),
        ([], "INVALID_ARGUMENT", "ModelSpec has no name specified."),
    ],
)
def test_tasks_that_do_not_go(example_stub, request_of, tasks, code, text):
    assert failure(example_stub.MultiInference, request_of(*tasks)) == (code, text)


def test_several_models(example_stub, request_of):
    message = request_of(("regress", REGRESS), ("classify", CLASSIFY))
    message.tasks[1].model_spec.name = "other"
    assert failure(example_stub.MultiInference, message) == (
        "INVALID_ARGUMENT",
        "All ModelSpecs in a MultiInferenceRequest must access the same model name.",
    )
    message.tasks[1].model_spec.name = ""
    assert failure(example_stub.MultiInference, message) == (
        "INVALID_ARGUMENT",
        "Found ModelSpec with an empty model name.",
    )


def test_no_examples(example_stub, request_of):
    message = request_of(("regress", REGRESS))
    message.ClearField("input")
    assert failure(example_stub.MultiInference, message) == ("INVALID_ARGUMENT", "Input is empty.")


def test_unknown_model(example_stub, request_of):
    assert failure(
        example_stub.MultiInference, request_of(("regress", REGRESS), model="other")
    ) == ("NOT_FOUND", "Servable not found for request: Latest(other)")


def test_the_name_of_the_method_is_checked_on_request(strict_stub, request_of):
    assert failure(strict_stub.MultiInference, request_of(("only_scores", REGRESS))) == (
        "INVALID_ARGUMENT",
        "Expected regression signature method_name to be tensorflow/serving/regress. "
        "Was: tensorflow/serving/classify",
    )
