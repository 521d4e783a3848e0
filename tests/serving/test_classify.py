"""Classify, asked by the official stub."""

import grpc
import pytest
from tensorflow_serving.apis import classification_pb2

DEADLINE = 30


@pytest.fixture
def request_of(fill_examples):
    def make(signature="", *examples, context=None, model="examples"):
        message = classification_pb2.ClassificationRequest()
        message.model_spec.name = model
        message.model_spec.signature_name = signature
        return fill_examples(message, *(examples or [{"x": 1}]), context=context)

    return make


def failure(method, message):
    with pytest.raises(grpc.RpcError) as caught:
        method(message, timeout=DEADLINE)
    return caught.value.code().name, caught.value.details()


def classes(response):
    return [
        [(one.label, one.score) for one in entry.classes]
        for entry in response.result.classifications
    ]


def test_labels_and_scores(example_stub, request_of):
    response = example_stub.Classify(request_of("", {"x": 2}, {"x": 7}), timeout=DEADLINE)
    assert classes(response) == [
        [("two", 4), ("three", 6), ("five", 10)],
        [("two", 14), ("three", 21), ("five", 35)],
    ]
    spec = response.model_spec
    assert (spec.name, spec.version.value, spec.signature_name) == (
        "examples",
        7,
        "serving_default",
    )


@pytest.mark.parametrize(
    ("signature", "expected"),
    [
        ("only_scores", [("", 2), ("", 3), ("", 5)]),
        ("only_classes", [("two", 0), ("three", 0), ("five", 0)]),
    ],
)
def test_one_of_both(example_stub, request_of, signature, expected):
    assert classes(example_stub.Classify(request_of(signature), timeout=DEADLINE)) == [expected]


def test_a_context_goes_with_every_example(example_stub, request_of):
    message = request_of("only_scores", {"x": 2}, {"x": 3, "scale": 11}, context={"scale": 7})
    scores = [[s for _, s in row] for row in classes(example_stub.Classify(message))]
    assert scores == [[28, 42, 70], [66, 99, 165]]


def test_the_check_lets_the_right_method_pass(example_stub, strict_stub, request_of):
    message = request_of("only_scores", {"x": 2})
    assert classes(strict_stub.Classify(message)) == classes(example_stub.Classify(message))


@pytest.mark.parametrize(
    ("signature", "code", "text"),
    [
        ("nothing", "INVALID_ARGUMENT", "No signature was found with the name: nothing"),
        ("two_inputs", "INVALID_ARGUMENT", "Expected one input Tensor."),
        ("three_outputs", "INVALID_ARGUMENT", "Expected one or two output Tensors, found 3"),
        (
            "two_scores",
            "INVALID_ARGUMENT",
            "Tensors class and score should match in dim_size(1). Got 3 vs. 2",
        ),
        (
            "flat_scores",
            "INVALID_ARGUMENT",
            "Expected Tensor shape: [batch_size num_classes] but got [1]",
        ),
        (
            "integer_scores",
            "INVALID_ARGUMENT",
            "Expected scores Tensor of DT_FLOAT. Got: DT_INT64",
        ),
        (
            "numeric_classes",
            "INVALID_ARGUMENT",
            "Expected classes Tensor of DT_STRING. Got: DT_FLOAT",
        ),
    ],
)
def test_signatures_that_cannot_classify(example_stub, request_of, signature, code, text):
    assert failure(example_stub.Classify, request_of(signature)) == (code, text)


def test_a_score_for_the_first_example_alone(example_stub, request_of):
    assert failure(example_stub.Classify, request_of("one_row", {"x": 1}, {"x": 2})) == (
        "INVALID_ARGUMENT",
        "Expected scores output batch size of 2. Got: 1",
    )


@pytest.mark.parametrize(
    ("signature", "start"),
    [
        ("odd_input", 'No classification inputs found in SignatureDef: inputs {\n  key: "x"'),
        (
            "odd_outputs",
            'Expected classification signature outputs to contain at least one of "classes" or '
            '"scores". Signature was: inputs {',
        ),
    ],
)
def test_signatures_with_other_names(example_stub, request_of, signature, start):
    code, text = failure(example_stub.Classify, request_of(signature))
    assert (code, text[: len(start)]) == ("FAILED_PRECONDITION", start)


@pytest.mark.parametrize("kind", [None, "example_list", "example_list_with_context"])
def test_no_examples(example_stub, kind):
    message = classification_pb2.ClassificationRequest()
    message.model_spec.name = "examples"
    if kind:
        getattr(message.input, kind).SetInParent()
    assert failure(example_stub.Classify, message) == ("INVALID_ARGUMENT", "Input is empty.")


def test_missing_feature(example_stub, request_of):
    code, text = failure(example_stub.Classify, request_of("", {"scale": 2}))
    assert code == "INVALID_ARGUMENT"
    assert "Feature: x (data type: float) is required but could not be found." in text


def test_no_model(example_stub, request_of):
    assert failure(example_stub.Classify, classification_pb2.ClassificationRequest()) == (
        "INVALID_ARGUMENT",
        "Missing ModelSpec",
    )
    assert failure(example_stub.Classify, request_of(model="other")) == (
        "NOT_FOUND",
        "Servable not found for request: Latest(other)",
    )


def test_the_name_of_the_method_is_checked_on_request(example_stub, strict_stub, request_of):
    message = request_of("regress")
    assert failure(strict_stub.Classify, message) == (
        "INVALID_ARGUMENT",
        "Expected classification signature method_name to be tensorflow/serving/classify. "
        "Was: tensorflow/serving/regress",
    )
    code, _ = failure(example_stub.Classify, message)
    assert code == "FAILED_PRECONDITION"  # it has no classes
