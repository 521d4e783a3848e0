"""gRPC over TLS out of an SSLConfig file: with, without and with the wrong certificates."""

import grpc
import numpy as np
import pytest
import urllib3

from keras_attention_serving import Client, errors, tls
from keras_attention_serving.server import Server
from keras_attention_serving.settings import tls_config
from keras_attention_serving.settings.options import Options

ONE = {"x": np.ones(1, np.float32)}


def ssl_config(folder, path, **more):
    """Writes the file, with PEM texts inside, as operators do."""
    pem = {"server_key": "server.key", "server_cert": "server.pem", "custom_ca": "root.pem"}
    lines = [f"{field}: {(folder / file).read_text()!r}" for field, file in pem.items()] + [
        f"{field}: {value}" for field, value in more.items()
    ]
    path.write_text("\n".join(lines))
    return str(path)


@pytest.fixture
def serve(base_path, certificates, tmp_path):
    servers = []

    def serve(**more):
        path = ssl_config(certificates, tmp_path / "ssl.config", **more)
        credentials = tls_config.credentials(path)
        servers.append(
            Server({"model": base_path}, port=0, host="127.0.0.1", credentials=credentials)
        )
        return f"localhost:{servers[-1].port}"

    yield serve
    for server in servers:
        server.stop()


def test_tls(serve, certificates):
    address = serve()
    with Client(address, credentials=tls(certificates / "root.pem"), timeout=30) as client:
        assert client.predict("model", ONE)["y"] == 2
    with Client(address, timeout=3) as client, pytest.raises(errors.ServingError):
        client.predict("model", ONE)


def test_clients_must_show_a_certificate(serve, certificates):
    address = serve(client_verify="true")
    shown = tls(
        certificates / "root.pem",
        certificate=certificates / "client.pem",
        key=certificates / "client.key",
    )
    with Client(address, credentials=shown, timeout=30) as client:
        assert client.predict("model", ONE)["y"] == 2
    with Client(address, credentials=tls(certificates / "root.pem"), timeout=3) as client:
        with pytest.raises(errors.ServingError):
            client.predict("model", ONE)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("server_key: 3", "Invalid protobuf file: '{path}'"),
        ("", "Expected server_key and server_cert. Received: '{path}' without them"),
        (
            "server_key: 'k' server_cert: 'c' client_verify: true",
            "Expected custom_ca, which client_verify needs. Received: '{path}' without it",
        ),
    ],
)
def test_files_that_will_not_do(tmp_path, text, message):
    path = tmp_path / "ssl.config"
    path.write_text(text)
    for read in (tls_config.credentials, tls_config.context):
        with pytest.raises(errors.InvalidArgument) as caught:
            read(str(path))
        assert caught.value.message == message.format(path=path)


# REST.


@pytest.fixture
def rest(base_path, certificates, tmp_path):
    servers = []

    def rest(**more):
        path = ssl_config(certificates, tmp_path / "ssl.config", **more)
        settings = Options(rest_api_ssl_config_file=path)
        arguments = {"port": 0, "rest_port": 0, "host": "127.0.0.1", "settings": settings}
        servers.append(Server({"model": base_path}, **arguments))
        return servers[-1]

    yield rest
    for server in servers:
        server.stop()


def predict(server, scheme="https", **settings):
    url = f"{scheme}://localhost:{server.rest_port}/v1/models/model:predict"
    with urllib3.PoolManager(timeout=30, retries=False, **settings) as pool:
        answer = pool.request("POST", url, body='{"instances": [[2, 3, 5]]}')
        return answer.status, answer.json()


def test_rest_over_tls(rest, certificates):
    server = rest()
    root = str(certificates / "root.pem")
    assert predict(server, ca_certs=root) == (200, {"predictions": [[4.0, 6.0, 10.0]]})
    with pytest.raises(urllib3.exceptions.HTTPError):
        predict(server, "http")
    with pytest.raises(urllib3.exceptions.HTTPError):
        predict(server)  # nobody that it trusts has signed the certificate
    with Client(f"127.0.0.1:{server.port}", timeout=30) as client:  # gRPC has its own file
        assert client.predict("model", ONE)["y"] == 2


def test_clients_of_rest_must_show_a_certificate(rest, certificates):
    server = rest(client_verify="true")
    root = str(certificates / "root.pem")
    with pytest.raises((urllib3.exceptions.HTTPError, OSError)):
        predict(server, ca_certs=root)
    shown = {"cert_file": str(certificates / "client.pem")}
    shown["key_file"] = str(certificates / "client.key")
    assert predict(server, ca_certs=root, **shown)[0] == 200


def test_what_is_no_certificate(base_path, tmp_path):
    path = tmp_path / "ssl.config"
    path.write_text("server_key: 'k' server_cert: 'c'")
    settings = Options(rest_api_ssl_config_file=str(path))
    with pytest.raises(errors.StartError, match="^Expected keys and certificates in PEM format"):
        Server({"model": base_path}, port=0, rest_port=0, settings=settings)


def test_a_file_for_rest_without_rest():
    settings = Options(model_base_path="/models", rest_api_ssl_config_file="ssl.config")
    with pytest.raises(errors.InvalidArgument, match="without setting server_options.rest_api_"):
        settings.check()


def test_texts_that_are_no_certificates(base_path, tmp_path):
    path = tmp_path / "ssl.config"
    path.write_text("server_key: 'k' server_cert: 'c'")
    with pytest.raises(errors.StartError, match="and credentials that gRPC can use"):
        Server(
            *({"model": base_path},),
            port=0,
            host="127.0.0.1",
            credentials=tls_config.credentials(str(path)),
        )


def test_the_message_is_tensorflow_servings():
    fields = tls_config.SSLConfig.DESCRIPTOR.fields
    assert [(field.number, field.name, field.type) for field in fields] == [
        (1, "server_key", 9),
        (2, "server_cert", 9),
        (3, "custom_ca", 9),
        (4, "client_verify", 8),
    ]
    assert isinstance(grpc.alts_server_credentials(), grpc.ServerCredentials)
