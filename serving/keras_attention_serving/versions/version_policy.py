"""Version folders in a base path, and the policies that choose the versions to load."""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from keras_attention_serving.protocol import wire

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Latest:
    """Policy of the highest versions, by number of versions."""

    count: int = 1

    def choose(self, numbers: Iterable[int]) -> set[int]:
        return set(sorted(numbers)[-self.count :])


@dataclass(frozen=True)
class All:
    """Policy of every version."""

    def choose(self, numbers: Iterable[int]) -> set[int]:
        return set(numbers)


@dataclass(frozen=True)
class Specific:
    """Policy of certain versions, as far as they exist."""

    versions: frozenset[int]

    def choose(self, numbers: Iterable[int]) -> set[int]:
        return set(numbers).intersection(self.versions)


Policy = Latest | All | Specific


def from_message(message: wire.ServableVersionPolicy) -> Policy:
    """The policy in a `ServableVersionPolicy`; by default that of the latest version."""
    choice = message.WhichOneof("policy_choice")
    if choice == "all":
        return All()
    if choice == "specific":
        return Specific(frozenset(message.specific.versions))
    return Latest(max(1, message.latest.num_versions))


def versions_in(base_path: Path) -> dict[int, Path]:
    """The version folders in a base path: those with a 64-bit number for a name, in digits alone.

    A model that is still being written is ignored under any other name until it is renamed. Of two
    folders of one number, such as `7` and `007`, the last in alphabetical order counts.

    Raises `OSError` if the base path cannot be read.
    """
    return {int(path.name): path for path in _candidates(base_path)}


def duplicates_in(base_path: Path, folders: Mapping[int, Path]) -> list[Path]:
    """Version folders in a base path that another folder of the same number hides."""
    return [
        path for path in _candidates(base_path) if folders.get(int(path.name)) not in (None, path)
    ]


def _candidates(base_path: Path) -> list[Path]:
    return [
        path
        for path in sorted(base_path.iterdir())
        if path.name.isascii()
        and path.name.isdigit()
        and len(path.name) < 40  # beyond, Python may refuse to read the number
        and int(path.name) < 1 << 63
        and path.is_dir()
    ]
