"""Large documents, read in pieces, say the same as read at once."""

import json

import numpy as np
import pytest

from keras_attention_serving.errors import InvalidArgument
from keras_attention_serving.rest import json_pieces, json_text


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    monkeypatch.setattr(json_pieces, "PIECE", 11)
    monkeypatch.setattr(json_pieces, "PART", 3)
    monkeypatch.setattr(json_text, "LARGE", 5)


NUMBERS = list(range(101))
DOCUMENTS = [
    {"instances": NUMBERS},
    {"instances": [[i, -i, i / 7] for i in NUMBERS], "signature_name": "some, [name]"},
    {"a": {"b": [[NUMBERS, []], [{}, {"c": NUMBERS}]], "d": "e"}, "f": None},
    {"text": ['a "quoted", [text] \\', "\\\\", "{", "ü" * 31, "", '\\"'] * 7},
    {"one": "x" * 101, "two": ["," * 101, ["]" * 53, True]]},
    {"empty": [[], {}, "", []] * 13, "": {}},
    {},
]


@pytest.mark.parametrize("indent", [None, 3])
@pytest.mark.parametrize("document", DOCUMENTS)
def test_documents(document, indent):
    data = json.dumps(document, indent=indent, ensure_ascii=False).encode()
    assert json_text.parse(b" \n" + data + b" ") == document


def test_what_the_standard_does_not_know():
    values = b", ".join([b"1.5", b"NaN", b"-Infinity", b"Inf"] * 29)
    found = json_text.parse(b'{"instances": [' + values + b"]} and more")["instances"]
    np.testing.assert_array_equal(found, [1.5, np.nan, -np.inf, np.inf] * 29)


@pytest.mark.parametrize(
    "text",
    [
        '{"a": [1, 2, 3, 4, 5, 6, 7,]}',
        '{"a": [,1, 2, 3, 4, 5, 6, 7]}',
        '{"a": [1, 2, 3, 4,, 5, 6, 7]}',
        '{"a": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10}',
        '{"a": [[1, 2, 3, 4, 5, 6, 7, 8, 9, 10}]}',
        '{"a" [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]}',
        '{"a": 1 [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]}',
        '{"a": "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]}',
        "{[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]}",
        '{"a": [1, 2, 3, 4, 5, 6, 7, 8, 9, 1o, 11]}',
    ],
)
def test_errors_are_those_of_the_whole(text, monkeypatch):
    messages = []
    for large in (5, 1000):
        monkeypatch.setattr(json_text, "LARGE", large)
        with pytest.raises(InvalidArgument) as caught:
            json_text.parse(text.encode())
        messages.append(caught.value.message)
    assert messages[0] == messages[1]
    assert messages[0].startswith("JSON Parse error: ")


def test_very_large_documents_that_are_wrong(monkeypatch):
    monkeypatch.setattr(json_text, "LARGEST_TOLD", 13)
    with pytest.raises(InvalidArgument, match="^JSON Parse error: Invalid value. at offset: 0$"):
        json_text.parse(b'{"a": [1, 2, 3, 4')


def test_lists_in_parts():
    values = [1, 2.5, "a", None, 3, 5, True]
    assert [*json_pieces.parts(values)] == [values[:3], values[3:6], values[6:]]
    assert [*json_pieces.parts([])] == [[]]
    assert json_pieces.types(values) == {int, float, str, type(None), bool}
    assert json_pieces.joined([[1, 2, 3, 5, 7], [], [11]]) == [1, 2, 3, 5, 7, 11]
    assert json_pieces.array([2, 3, 5, 7, 11], np.int32).tolist() == [2, 3, 5, 7, 11]


def test_discarded_documents_are_empty():
    inner = list(range(101))
    document = {"a": [inner, [[inner]]], "b": {"c": inner}}
    json_pieces.discard(document)
    assert (document, inner) == ({}, [])
