"""Names for versions, such as "stable" and "canary", that move from one version to another."""

import threading
from collections.abc import Callable, Sequence

from keras_attention_serving import errors
from keras_attention_serving.versions.model_config import ModelConfig


class Labels:
    """Labels of the versions of all models."""

    def __init__(self) -> None:
        self._versions: dict[str, dict[str, int]] = {}
        self._lock = threading.Lock()

    def version(self, model: str, label: str) -> int:
        """The version that a label stands for; raises `errors.InvalidArgument` if it is unknown."""
        versions = self._versions.get(model, {})
        if label not in versions:
            raise errors.InvalidArgument(f"Unrecognized servable version label: {label}")
        return versions[label]

    def assign(
        self,
        models: Sequence[ModelConfig],
        is_available: Callable[[str, int], bool],
        allow_unavailable: bool = False,
    ) -> None:
        """Sets the labels of all models, or of none if one is refused.

        Args:
            models: the models with their labels.
            is_available: returns True if a version of a model is available.
            allow_unavailable: allow a new label for a version that is not available yet. A label
                that stands for another version already is still refused.

        Raises:
            errors.FailedPrecondition: a version is not available.
        """
        with self._lock:
            for model in models:
                for label, version in model.labels.items():
                    current = self._versions.get(model.name, {}).get(label, version)
                    allowed = allow_unavailable and current == version
                    if not allowed and not is_available(model.name, version):
                        raise errors.FailedPrecondition(
                            f"Request to assign label to version {version} of model "
                            f"{model.name}, which is not currently available for inference"
                        )
            self._versions = {model.name: dict(model.labels) for model in models if model.labels}
