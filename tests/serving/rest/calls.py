"""Requests to a REST server, whole or byte by byte."""

import http.client
import json
import socket

from keras_attention_serving.rest import json_encode

DEADLINE = 30
PREDICT = "model/versions/3:predict"
X = '{"instances": [[1, 2, 3], [5, 7, 11]]}'


def ask(server, method, path, body=None, headers=None):
    """Status, text and headers of an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=DEADLINE)
    try:
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        return response.status, response.read().decode(), response.headers
    finally:
        connection.close()


def post(server, path, body, **headers):
    status, text, _ = ask(server, "POST", f"/v1/models/{path}", body, headers)
    return status, text


def error_of(text):
    """The message in an error body, which must be printed as TensorFlow Serving prints it."""
    message = json.loads(text)["error"]
    assert text.encode() == json_encode.error(message)
    return message


def raw(server):
    return socket.create_connection(("127.0.0.1", server.port), DEADLINE)


def message(path=PREDICT, body=X, *headers):
    lines = [f"POST /v1/models/{path} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, *headers, "", body]).encode()


def received(connection):
    data = b""
    while chunk := connection.recv(65536):
        data += chunk
    return data
