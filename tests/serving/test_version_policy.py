"""Version folders, and the versions that policies choose."""

import pytest
from tensorflow_serving.config.file_system_storage_path_source_pb2 import (
    FileSystemStoragePathSourceConfig as Official,
)

from keras_attention_serving.versions import version_policy
from keras_attention_serving.versions.version_policy import All, Latest, Specific


def test_names_of_version_folders(tmp_path):
    for name in ("7", "0011", "11", "-2", "1.5", "tmp-13", "13.tmp", "\u0663", ".hidden"):
        (tmp_path / name).mkdir()
    (tmp_path / "17").touch()
    found = version_policy.versions_in(tmp_path)
    assert found == {7: tmp_path / "7", 11: tmp_path / "11"}
    assert version_policy.duplicates_in(tmp_path, found) == [tmp_path / "0011"]


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        version_policy.versions_in(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("fields", "policy", "chosen"),
    [
        ({}, Latest(1), {11}),
        ({"latest": {}}, Latest(1), {11}),
        ({"latest": {"num_versions": 2}}, Latest(2), {7, 11}),
        ({"latest": {"num_versions": 13}}, Latest(13), {2, 7, 11}),
        ({"all": {}}, All(), {2, 7, 11}),
        ({"specific": {"versions": [2, 5, 7]}}, Specific(frozenset({2, 5, 7})), {2, 7}),
        ({"specific": {}}, Specific(frozenset()), set()),
    ],
    ids=str,
)
def test_policies(fields, policy, chosen):
    message = Official.ServableVersionPolicy(**fields)
    assert version_policy.from_message(message) == policy
    assert policy.choose([7, 2, 11]) == chosen
    assert policy.choose([]) == set()
