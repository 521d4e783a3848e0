"""Configuration of the models of a server: names, folders, policies and labels.

The texts of the errors are TensorFlow Serving's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from urllib.parse import urlsplit

from keras_attention_serving import errors
from keras_attention_serving.protocol import wire
from keras_attention_serving.versions import version_policy
from keras_attention_serving.versions.version_policy import Latest, Policy

PLATFORM = "tensorflow"
_MODEL_TYPE_TENSORFLOW = 1  # the deprecated way to say the same


@dataclass(frozen=True)
class ModelConfig:
    """One model.

    Attributes:
        name: its name in requests.
        base_path: folder of the version folders.
        policy: chooses the versions to load.
        labels: numbers of versions by label.
        platform: name of the framework that runs it.
    """

    name: str
    base_path: Path
    policy: Policy = Latest()
    labels: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    platform: str = PLATFORM


def single(name: str, base_path: str) -> wire.ModelServerConfig:
    """The `ModelServerConfig` of one model with default settings."""
    config = wire.ModelServerConfig()
    config.model_config_list.config.add(name=name, base_path=base_path, model_platform=PLATFORM)
    return config


def models_in(config: wire.ModelServerConfig) -> Sequence[ModelConfig]:
    """The models of a `ModelServerConfig`.

    Raises `errors.InvalidArgument` if it names a model twice, a base path that is not absolute, or
    no platform.
    """
    if config.WhichOneof("config") != "model_config_list":
        raise errors.InvalidArgument("Invalid ServerModelConfig")
    seen: set[str] = set()
    for model in config.model_config_list.config:
        if model.name in seen:
            raise errors.InvalidArgument(
                f"Illegal to list model {model.name} multiple times in config list"
            )
        seen.add(model.name)
    return [_model(model) for model in config.model_config_list.config]


def _model(message: wire.ModelConfig) -> ModelConfig:
    path = _local_path(message.base_path)
    if path is None:
        raise errors.InvalidArgument(
            f"Expected model {message.name} to have an absolute path or URI; "
            f"got base_path()={message.base_path}"
        )
    return ModelConfig(
        message.name,
        path,
        version_policy.from_message(message.model_version_policy),
        MappingProxyType(dict(message.version_labels)),
        _platform(message),
    )


def check_platforms(old: Sequence[ModelConfig], new: Sequence[ModelConfig]) -> None:
    """Raises `errors.InvalidArgument` if a model would change its platform."""
    before = {model.name: model.platform for model in old}
    for model in new:
        platform = before.get(model.name, model.platform)
        if platform != model.platform:
            raise errors.InvalidArgument(
                f"Illegal to change a model's platform. For model {model.name} platform was "
                f"{platform} and new platform requested is {model.platform}"
            )


def check_supported(models: Sequence[ModelConfig]) -> None:
    """Raises `errors.InvalidArgument` for a platform that this server does not have."""
    for model in models:
        if model.platform != PLATFORM:
            raise errors.InvalidArgument(
                f"Model {model.name} requests unsupported platform {model.platform}"
            )


def _local_path(text: str) -> Path | None:
    if text.startswith("/"):
        return Path(text)
    uri = urlsplit(text)
    if uri.scheme == "file":
        return Path(uri.path)
    # Other schemes are paths that will not be found; a path without one is relative.
    return Path(text) if uri.scheme and uri.netloc else None


def _platform(message: wire.ModelConfig) -> str:
    platform: str = message.model_platform
    if message.model_type:
        if platform:
            raise errors.InvalidArgument(
                "Illegal setting both ModelServerConfig::model_type (deprecated) and "
                "ModelServerConfig::model_platform."
            )
        if message.model_type != _MODEL_TYPE_TENSORFLOW:
            raise errors.InvalidArgument(
                f"ModelServerConfig::model_type choice {message.model_type} not supported."
            )
        platform = PLATFORM
    if not platform:
        raise errors.InvalidArgument(
            "Illegal setting neither ModelServerConfig::model_type (deprecated) nor "
            "ModelServerConfig::model_platform."
        )
    return platform
