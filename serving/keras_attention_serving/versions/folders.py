"""What the folders of the models hold, and which of it is wanted."""

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
            found = version_policy.versions_in(model.base_path)
        except OSError as error:
            raise errors.StartError(
                f"Expected a folder of versions for model {model.name!r}. "
                f"Received: base_path={model.base_path} ({error.strerror})"
            ) from None
        if not found:
            raise errors.StartError(
                f"Expected a version of model {model.name!r}: a folder with a number for a "
                f"name. Received: base_path={model.base_path} without one"
            )


def look(models: Sequence[ModelConfig]) -> tuple[dict[str, dict[int, Path]], set[str]]:
    """The folders of the versions that are wanted, by model and version, and what is odd.

    If one base path cannot be read, nothing is said of any model: storage that fails for a moment
    must not cost a model.
    """
    complaints: set[str] = set()
    wanted = {}
    for model in models:
        try:
            wanted[model.name] = _choose(model, complaints)
        except OSError as error:
            status = errors.status_text(errors.from_os_error(error, str(model.base_path)))
            complaints.add(
                "FileSystemStoragePathSource encountered a filesystem access error: "
                f"Could not find base path {model.base_path} for servable {model.name} "
                f"with error {status}"
            )
            return {}, complaints
    return wanted, complaints


def fingerprint(folder: Path) -> frozenset[tuple[str, int, int]]:
    """Names, sizes and times of change of all files in a folder; empty if it cannot be read."""
    found = set()
    for parent, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(parent, name)
            with contextlib.suppress(OSError):  # gone since
                status = os.stat(path)
                found.add((path, status.st_size, status.st_mtime_ns))
    return frozenset(found)


def _choose(model: ModelConfig, complaints: set[str]) -> dict[int, Path]:
    """The folders of the versions that a model wants; what is odd about them is added."""
    found = version_policy.versions_in(model.base_path)
    chosen = model.policy.choose(found)
    for path in version_policy.duplicates_in(model.base_path, found):
        complaints.add(
            f"Duplicate version directories detected. Version {int(path.name)} will be loaded "
            f"from {found[int(path.name)].name}, {path.name} will be ignored."
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
    return {number: found[number] for number in chosen}
