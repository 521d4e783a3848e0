"""Regress, asked by the official stub."""

import grpc
import pytest
from tensorflow_serving.apis import regression_pb2

DEADLINE = 30


@pytest.fixture
def request_of(fill_examples):
    def make(signature, *examples, context=None):
        message = regression_pb2.RegressionRequest()
        message.model_spec.name = "examples"
        message.model_spec.signature_name = signature
        return fill_examples(message, *(examples or [{"x": 1}]), context=context)

    return make


def failure(method, message):
    with pytest.raises(grpc.RpcError) as caught:
        method(message, timeout=DEADLINE)
    return caught.value.code().name, caught.value.details()


@pytest.mark.parametrize(("signature", "expected"), [("regress", 7), ("regress_column", 11)])
def test_regress(example_stub, request_of, signature, expected):
    message = request_of(signature, {"x": 2}, {"x": 3})
    response = example_stub.Regress(message, timeout=DEADLINE)
    values = [entry.value for entry in response.result.regressions]
    assert values == [2 * expected, 3 * expected]
    spec = response.model_spec
    assert (spec.name, spec.version.value, spec.signature_name) == ("examples", 7, signature)


def test_context(example_stub, request_of):
    message = request_of("regress", {"x": 2}, {"x": 3, "scale": 1}, context={"scale": 5})
    response = example_stub.Regress(message, timeout=DEADLINE)
    assert [entry.value for entry in response.result.regressions] == [70, 21]


@pytest.mark.parametrize(
    ("signature", "text"),
    [
        ("nothing", "No signature was found with the name: nothing"),
        ("two_inputs", "Expected one input Tensor."),
        ("regress_two", "Expected one output Tensor."),
        (
            "regress_wide",
            "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got "
            "[2,3]",
        ),
        ("regress_one", "Input batch size did not match output batch size: 2 vs. 1"),
        ("regress_integer", "Expected output Tensor of DT_FLOAT.  Got: DT_INT32"),
    ],
)
def test_signatures_that_cannot_regress(example_stub, request_of, signature, text):
    message = request_of(signature, {"x": 1}, {"x": 2})
    assert failure(example_stub.Regress, message) == ("INVALID_ARGUMENT", text)


@pytest.mark.parametrize(
    ("signature", "start"),
    [
        ("odd_input", "No regression inputs found in SignatureDef: inputs {"),
        ("regress_odd", "No regression outputs found in SignatureDef: inputs {"),
    ],
)
def test_signatures_with_other_names(example_stub, request_of, signature, start):
    code, text = failure(example_stub.Regress, request_of(signature))
    assert (code, text[: len(start)]) == ("FAILED_PRECONDITION", start)


def test_no_examples(example_stub):
    message = regression_pb2.RegressionRequest()
    message.model_spec.name = "examples"
    message.model_spec.signature_name = "regress"
    assert failure(example_stub.Regress, message) == ("INVALID_ARGUMENT", "Input is empty.")


def test_the_name_of_the_method_is_checked_on_request(strict_stub, request_of):
    assert failure(strict_stub.Regress, request_of("only_scores")) == (
        "INVALID_ARGUMENT",
        "Expected regression signature method_name to be tensorflow/serving/regress. "
        "Was: tensorflow/serving/classify",
    )
    assert strict_stub.Regress(request_of("regress"), timeout=DEADLINE).result.regressions
