"""Version folders of the models, and the choice of those to load."""

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

from keras_attention_serving import errors
from keras_attention_serving.versions import version_policy
from keras_attention_serving.versions.model_config import ModelConfig
from keras_attention_serving.versions.version_policy import Specific


def check(models: Sequence[ModelConfig]) -> None:
    """Raises `errors.StartError` if a base path is missing or holds no version."""
    for model in models:
        try:
            versions = version_policy.versions_in(model.base_path)
        except OSError as error:
            raise errors.StartError(
                f"Expected a folder of versions for model {model.name!r}. "
                f"Received: base_path={model.base_path} ({error.strerror})"
            ) from None
        if not versions:
            raise errors.StartError(
                f"Expected a version of model {model.name!r}: a folder with a number for a "
                f"name. Received: base_path={model.base_path} without one"
            )


def aspired_versions(
    models: Sequence[ModelConfig],
) -> tuple[dict[str, dict[int, Path]], set[str]]:
    """Finds the versions that should be loaded.

    If one base path cannot be read, the result has no model at all: storage that fails for a moment
    must not cost a model.

    Returns:
        Folders by name of the model and number of the version; and complaints for the log.
    """
    complaints: set[str] = set()
    aspired = {}
    for model in models:
        try:
            aspired[model.name] = _choose(model, complaints)
        except OSError as error:
            status = errors.status_text(errors.from_os_error(error, str(model.base_path)))
            complaints.add(
                "FileSystemStoragePathSource encountered a filesystem access error: "
                f"Could not find base path {model.base_path} for servable {model.name} "
                f"with error {status}"
            )
            return {}, complaints
    return aspired, complaints


def fingerprint(folder: Path) -> frozenset[tuple[str, int, int]]:
    """Paths, sizes and modification times of all files in a folder; empty if it cannot be read."""
    files = set()
    for parent, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(parent, name)
            with contextlib.suppress(OSError):  # deleted meanwhile
                status = os.stat(path)
                files.add((path, status.st_size, status.st_mtime_ns))
    return frozenset(files)


def _choose(model: ModelConfig, complaints: set[str]) -> dict[int, Path]:
    """The folders of the versions that a model's policy chooses; adds to `complaints`."""
    folders = version_policy.versions_in(model.base_path)
    chosen = model.policy.choose(folders)
    for path in version_policy.duplicates_in(model.base_path, folders):
        complaints.add(
            f"Duplicate version directories detected. Version {int(path.name)} will be loaded "
            f"from {folders[int(path.name)].name}, {path.name} will be ignored."
        )
    if isinstance(model.policy, Specific):
        for number in model.policy.versions.difference(chosen):
            complaints.add(
                f"Version {number} of servable {model.name}, which was requested to be served as "
                "a 'specific' version in the servable's version policy, was not found in the file "
                "system"
            )
    if not chosen:
        complaints.add(
            f"No versions of servable {model.name} found under base path {model.base_path}. Did "
            "you forget to name your leaf directory as a number (eg. '/1/')?"
        )
    return {number: folders[number] for number in chosen}
