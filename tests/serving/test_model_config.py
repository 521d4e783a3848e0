"""Valid and invalid texts of ModelServerConfig."""

from pathlib import Path

import pytest

from keras_attention_serving import errors
from keras_attention_serving.protocol import text_proto, wire
from keras_attention_serving.versions import model_config
from keras_attention_serving.versions.version_policy import All, Latest


def parse(text):
    return text_proto.parse(text, wire.ModelServerConfig, "models.config")


def one(fields):
    return parse("model_config_list { config { " + fields + " } }")


GOOD = "name: 'a' base_path: '/models/a' model_platform: 'tensorflow' "


def test_a_whole_file():
    config = parse(
        """
        # two models
        model_config_list {
          config {
            name: "a"
            base_path: "/models/a"
            model_platform: "tensorflow"
            model_version_policy { all {} }
            version_labels { key: "stable" value: 3 }
            version_labels { key: "canary" value: 5 }
          }
          config { name: "b" base_path: "file:///models/b" model_platform: "tensorflow" }
        }
        """
    )
    first, second = model_config.models_in(config)
    assert (first.name, first.base_path, first.policy) == ("a", Path("/models/a"), All())
    assert first.labels == {"stable": 3, "canary": 5}
    assert (second.name, second.base_path, second.policy) == ("b", Path("/models/b"), Latest(1))
    assert second.labels == {}


def test_the_deprecated_model_type():
    (model,) = model_config.models_in(one("name: 'a' base_path: '/a' model_type: TENSORFLOW"))
    assert model.platform == "tensorflow"


@pytest.mark.parametrize(
    ("config", "text"),
    [
        (parse(""), "Invalid ServerModelConfig"),
        (parse("custom_model_config {}"), "Invalid ServerModelConfig"),
        (
            parse("model_config_list { config { " + GOOD + "} config { " + GOOD + "} }"),
            "Illegal to list model a multiple times in config list",
        ),
        (
            one("name: 'a' base_path: 'models/a' model_platform: 'tensorflow'"),
            "Expected model a to have an absolute path or URI; got base_path()=models/a",
        ),
        (
            one("name: 'a' base_path: '/models/a'"),
            "Illegal setting neither ModelServerConfig::model_type (deprecated) nor "
            "ModelServerConfig::model_platform.",
        ),
        (
            one(GOOD + "model_type: TENSORFLOW"),
            "Illegal setting both ModelServerConfig::model_type (deprecated) and "
            "ModelServerConfig::model_platform.",
        ),
        (
            one("name: 'a' base_path: '/models/a' model_type: OTHER"),
            "ModelServerConfig::model_type choice 2 not supported.",
        ),
    ],
)
def test_what_is_refused(config, text):
    with pytest.raises(errors.InvalidArgument) as caught:
        model_config.models_in(config)
    assert caught.value.message == text


def test_platforms():
    (tensorflow,) = model_config.models_in(one(GOOD))
    (caffe,) = model_config.models_in(one(GOOD.replace("tensorflow", "caffe")))
    model_config.check_platforms([tensorflow], [tensorflow])
    with pytest.raises(errors.InvalidArgument) as caught:
        model_config.check_platforms([tensorflow], [caffe])
    assert caught.value.message == (
        "Illegal to change a model's platform. For model a platform was tensorflow and new "
        "platform requested is caffe"
    )
    model_config.check_supported([tensorflow])
    with pytest.raises(errors.InvalidArgument) as caught:
        model_config.check_supported([tensorflow, caffe])
    assert caught.value.message == "Model a requests unsupported platform caffe"


def test_files(tmp_path, caplog):
    path = tmp_path / "models.config"
    with pytest.raises(errors.NotFound) as caught:
        text_proto.read(path, wire.ModelServerConfig)
    assert caught.value.message == f"{path}; No such file or directory"
    path.write_text("")
    assert text_proto.read(path, wire.ModelServerConfig) == wire.ModelServerConfig()
    path.write_bytes(b"\xef\xbb\xbfmodel_config_list {}")
    assert text_proto.read(path, wire.ModelServerConfig).HasField("model_config_list")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (
            b"model_config_list { config { nam: 'a' } }",
            '1:30: Message type "tensorflow.serving.ModelConfig" has no field named "nam".',
        ),
        (
            b"model_config_list {\n  config {\n    name: 7",
            "3:11: Expected string but found: '7'",
        ),
        (b"model_config_list {\n", '1:19: Expected "}".'),
        (b"\n\nmodel_config_list { config { name: 'secr", "3:36: String missing ending quote."),
        (b"model_config_list { config { name: '\\377' } }", "1:43: Couldn't parse string."),
        (b"# one\n \xff", "2:2: Expected UTF-8."),
        (b"\0", "1:1: Expected identifier or number, got \0."),
    ],
)
def test_files_that_do_not_parse(tmp_path, caplog, content, complaint):
    path = tmp_path / "models.config"
    path.write_bytes(content)
    with pytest.raises(errors.InvalidArgument) as caught:
        text_proto.read(path, wire.ModelServerConfig)
    assert caught.value.message == f"Invalid protobuf file: '{path}'"
    assert caplog.messages == [
        f"Error parsing text-format tensorflow.serving.ModelServerConfig: {complaint}"
    ]
