"""Models that change while a server runs: folders, configurations, labels."""

import logging
import shutil
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from keras_attention_serving import Client, errors
from keras_attention_serving.protocol import text_proto, wire
from keras_attention_serving.server import Server
from keras_attention_serving.versions.config_file import ConfigFile
from keras_attention_serving.versions.loading import SavedModelLoader
from keras_attention_serving.versions.model_manager import ModelManager
from keras_attention_serving.versions.model_versions import ModelVersions, Retries

ONE = {"x": np.ones(1, np.float32)}


def until(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    assert condition()


def config(text):
    return text_proto.parse(text, wire.ModelServerConfig, "test")


def models(**base_paths):
    """A configuration of models in these folders; a value may be (folder, more fields)."""
    result = wire.ModelServerConfig()
    result.model_config_list.SetInParent()
    for name, value in base_paths.items():
        path, more = value if isinstance(value, tuple) else (value, "")
        fields = f'name: "{name}" base_path: "{path}" model_platform: "tensorflow" {more}'
        result.MergeFrom(config("model_config_list { config { " + fields + " } }"))
    return result


def states(manager, name="model"):
    return [(v.number, v.state.name) for v in manager.get(name).versions()]


def scale(manager, name="model", number=None):
    with manager.get(name).get_handle(number) as (_, model):
        signature = model.signatures["serving_default"]
        fetch = [signature.outputs["y"].name]
        return model.run({signature.inputs["x"].name: ONE["x"]}, fetch)[0].tolist()


@pytest.fixture
def folder(publish, tmp_path):
    return publish(tmp_path / "models", 3, 2)


@pytest.fixture
def make():
    """Makes managers that poll their folders 20 times a second and do not retry."""
    made = []

    def make(loader=None, **keywords):
        keywords = {"poll_wait_seconds": 0.05, "retries": Retries(0), **keywords}
        made.append(ModelManager(loader or SavedModelLoader(), **keywords))
        return made[-1]

    yield make
    for manager in made:
        manager.close()


@pytest.fixture
def client(folder):
    with (
        Server({"model": folder}, port=0, host="127.0.0.1", poll_wait_seconds=0.05) as server,
        Client(f"127.0.0.1:{server.port}", timeout=30) as client,
    ):
        yield client


def client_states(client):
    return [(status.version, status.state) for status in client.status("model")]


def test_a_new_version_is_picked_up(client, folder, publish):
    assert client.predict("model", ONE)["y"] == 2
    publish(folder, 5, 5)
    until(lambda: client_states(client) == [(5, "AVAILABLE"), (3, "END")])
    assert client.predict("model", ONE)["y"] == 5
    assert client.metadata("model").version == 5
    with pytest.raises(errors.NotFound, match=r"Specific\(model, 3\)"):
        client.predict("model", ONE, version=3)


def test_a_broken_version_is_seen_in_the_status_alone(client, folder):
    (folder / "5").mkdir()
    until(lambda: client_states(client) == [(5, "LOADING"), (3, "AVAILABLE")])
    assert client.predict("model", ONE)["y"] == 2
    (folder / "5").rmdir()  # it will not be tried again
    until(lambda: client_states(client) == [(5, "END"), (3, "AVAILABLE")])
    broken = client.status("model", version=5)[0]
    assert broken.error_code == 5
    assert "Could not find SavedModel" in broken.error_message
    assert client.predict("model", ONE)["y"] == 2


def test_no_polling(folder, publish):
    with (
        Server({"model": folder}, port=0, host="127.0.0.1", poll_wait_seconds=0) as server,
        Client(f"127.0.0.1:{server.port}", timeout=30) as client,
    ):
        publish(folder, 5, 5)
        time.sleep(0.3)
        assert client_states(client) == [(3, "AVAILABLE")]


def test_a_missing_folder_is_reported_once_and_stops_the_round(make, folder, publish, caplog):
    other = publish(folder.with_name("other"), 3, 2)
    manager = make()
    manager.start(models(model=folder, other=other))
    folder.rename(folder.with_name("elsewhere"))
    publish(other, 5, 5)
    until(lambda: "filesystem access error" in caplog.text)
    time.sleep(0.3)
    assert caplog.text.count("filesystem access error") == 1
    assert (
        f"Could not find base path {folder} for servable model with error NOT_FOUND: {folder}; No "
        "such file or directory"
    ) in caplog.text
    assert manager.available() == [("model", 3), ("other", 3)]
    folder.with_name("elsewhere").rename(folder)
    until(lambda: manager.available() == [("model", 3), ("other", 5)])


def test_an_empty_folder_unloads_everything(make, folder, caplog):
    manager = make()
    manager.start(models(model=folder))
    shutil.rmtree(folder / "3")
    until(lambda: states(manager) == [(3, "END")])
    assert "No versions of servable model found under base path" in caplog.text


def test_start_waits_for_a_folder_and_a_version(make, folder, publish):
    manager = make()
    started = threading.Event()
    thread = threading.Thread(
        target=lambda: (manager.start(models(model=folder.with_name("late"))), started.set())
    )
    thread.start()
    assert not started.wait(0.3)
    folder.with_name("late").mkdir()
    assert not started.wait(0.3)
    publish(folder.with_name("late"), 7, 5)
    assert started.wait(30)
    thread.join()
    assert manager.available() == [("model", 7)]


def test_start_that_never_looks_waits(make, folder):
    manager = make(poll_wait_seconds=-1)
    started = threading.Event()
    thread = threading.Thread(target=lambda: (manager.start(models(model=folder)), started.set()))
    thread.start()
    assert not started.wait(0.3)
    manager.close()
    thread.join()


def test_start_with_a_broken_model(make, folder):
    (folder / "5").mkdir()
    manager = make()
    with pytest.raises(errors.Unknown) as caught:
        manager.start(models(model=folder))
    assert caught.value.message.startswith(
        "1 servable(s) did not become available: {{{name: model version: 5} due to error: "
        "NOT_FOUND: Could not find SavedModel .pb or .pbtxt at supplied export directory path: "
    )
    assert caught.value.message.endswith("}, }")


def test_start_tries_again(make, folder, exports, caplog):
    (folder / "5").mkdir()
    manager = make(retries=Retries(1000, 0.05))
    thread = threading.Thread(target=manager.start, args=(models(model=folder),))
    thread.start()
    until(lambda: caplog.text.count("load failure") > 2)
    assert thread.is_alive()
    assert "next attempt in 0.05 s" in caplog.text
    shutil.copytree(exports[5], folder / "5", dirs_exist_ok=True)
    thread.join(30)
    assert manager.available() == [("model", 5)]


def test_a_failing_model_does_not_hold_up_the_others(make, folder, publish):
    manager = make(retries=Retries(5, 3600))
    other = publish(folder.with_name("other"), 3, 2)
    manager.start(models(model=folder, other=other))
    (folder / "5").mkdir()
    until(lambda: states(manager) == [(5, "LOADING"), (3, "AVAILABLE")])
    publish(other, 7, 5)
    until(lambda: ("other", 7) in manager.available())


@pytest.mark.parametrize("count", [5, 0], ids=["waiting", "given up"])
def test_a_version_is_tried_again_when_its_files_have_changed(make, folder, exports, count):
    """Not after the ten minutes between two attempts; and not while they do not change."""
    attempts = []

    def loader(path):
        try:
            return SavedModelLoader()(path)
        finally:
            attempts.append(path.name)

    manager = make(loader, retries=Retries(count, 600))
    manager.start(models(model=folder))
    (folder.with_name("aside") / "variables").mkdir(parents=True)
    shutil.copy(exports[5] / "saved_model.pb", folder.with_name("aside"))
    folder.with_name("aside").rename(folder / "5")
    until(lambda: attempts.count("5") == 1)
    time.sleep(0.2)
    for tried, name in enumerate(["index", "data-00000-of-00001"], 2):
        shutil.copy(exports[5] / f"variables/variables.{name}", folder / "5" / "variables")
        until(lambda tried=tried: attempts.count("5") == tried)
        time.sleep(0.2)
        assert attempts.count("5") == tried
    until(lambda: states(manager) == [(5, "AVAILABLE"), (3, "END")])
    assert scale(manager) == [5]


def test_files_that_go_on_changing_are_waited_for():
    model_versions = ModelVersions("model")
    model_versions.set_aspired_versions({3: Path("3")})
    version = model_versions.next_load()
    version.tried_files = "a"

    def fail(path):
        raise errors.NotFound("not all there")

    model_versions.load(version, fail, Retries(5, 600))
    (failed,) = model_versions.failed()
    for files in ("a", "a", "ab", "abc", "abcd"):
        model_versions.retry_if_changed(failed, files)
        assert model_versions.next_load() is None
    model_versions.retry_if_changed(failed, "abcd")
    assert model_versions.next_load() is failed
    assert not model_versions.failed()  # it is under way


def test_versions_that_load_side_by_side(make, folder, publish):
    barrier = threading.Barrier(3, timeout=30)

    def loader(path):
        barrier.wait()  # nobody passes before all three are here
        return SavedModelLoader()(path)

    publish(folder, 5, 5)
    publish(folder, 7, 2)
    manager = make(loader)
    manager.start(models(model=(folder, "model_version_policy { all {} }")))
    until(lambda: states(manager) == [(n, "AVAILABLE") for n in (7, 5, 3)])
    manager.close()

    manager = make(loader, load_threads=3)
    manager.start(models())
    manager.reload(models(model=(folder, "model_version_policy { all {} }")))
    until(lambda: states(manager) == [(n, "AVAILABLE") for n in (7, 5, 3)])


def test_policies_can_change(make, folder, publish, caplog):
    publish(folder, 5, 5)
    publish(folder, 7, 2)
    manager = make()
    manager.start(models(model=folder))
    assert manager.available() == [("model", 7)]
    for policy, numbers in (
        ("latest { num_versions: 2 }", [7, 5]),
        ("all {}", [7, 5, 3]),
        ("specific { versions: 3 versions: 11 }", [3]),
        ("", [7]),
    ):
        manager.reload(models(model=(folder, "model_version_policy { " + policy + " }")))
        until(lambda n=numbers: manager.available() == [("model", number) for number in n])
    assert (
        "Version 11 of servable model, which was requested to be served as a 'specific' version "
        "in the servable's version policy, was not found in the file system"
    ) in caplog.text


def test_reload_adds_and_removes_models(make, folder, publish):
    other = publish(folder.with_name("other"), 7, 5)
    manager = make()
    manager.start(models(model=folder))
    manager.reload(models(other=other))
    assert ("other", 7) in manager.available()  # when it returns
    until(lambda: manager.available() == [("other", 7)])
    assert states(manager) == [(3, "END")]
    with pytest.raises(errors.NotFound, match=r"Latest\(model\)"):
        manager.get("model").get_handle()
    manager.reload(models(model=folder, other=other))  # what has ended before does not count
    assert manager.available() == [("model", 3), ("other", 7)]
    manager.reload(models())
    until(lambda: manager.available() == [])


def test_reload_without_polling_looks_once(make, folder, publish):
    other = publish(folder.with_name("other"), 7, 5)
    manager = make(poll_wait_seconds=0)
    manager.start(models(model=folder))
    manager.reload(models(model=folder, other=other))
    assert manager.available() == [("model", 3), ("other", 7)]


def test_reload_errors_change_nothing(make, folder, caplog):
    manager = make()
    manager.start(models(model=folder))
    before = manager.config
    caffe = models(model=folder)
    caffe.model_config_list.config[0].model_platform = "caffe"
    new = models(other=folder)
    new.model_config_list.config[0].model_platform = "caffe"
    for bad, error, text in (
        (caffe, errors.InvalidArgument, "Illegal to change a model's platform"),
        (new, errors.InvalidArgument, "Model other requests unsupported platform caffe"),
        (models(model="relative"), errors.InvalidArgument, "to have an absolute path or URI"),
        (
            config("custom_model_config {}"),
            errors.FailedPrecondition,
            "Cannot transition to requested config. It is only legal to transition from one "
            "ModelConfigList to another.",
        ),
    ):
        with pytest.raises(error) as caught:
            manager.reload(bad)
        assert text in caught.value.message
        assert manager.config is before
    assert manager.available() == [("model", 3)]


def test_an_empty_configuration_changes_nothing(make, folder, caplog):
    caplog.set_level(logging.INFO)
    manager = make()
    manager.start(config(""))
    assert "Taking no action for empty config." in caplog.text
    assert manager.available() == []
    manager.reload(models(model=folder))
    assert manager.available() == [("model", 3)]


def test_reload_with_a_broken_model(make, folder):
    manager = make()
    manager.start(models(model=folder))
    broken = folder.with_name("broken")
    (broken / "7").mkdir(parents=True)
    with pytest.raises(errors.Unknown) as caught:
        manager.reload(models(model=folder, broken=broken))
    assert caught.value.message.startswith(
        "1 model(s) did not become available: {{{name: broken version: 7} due to error: NOT_FOUND: "
    )
    assert manager.available() == [("model", 3)]


def test_reload_within_a_time(make, folder):
    manager = make()
    manager.start(models(model=folder))
    empty = folder.with_name("empty")
    empty.mkdir()
    with pytest.raises(errors.DeadlineExceeded, match="still being loaded"):
        manager.reload(models(model=folder, empty=empty), timeout=0.2)
    manager.reload(models(model=folder), timeout=30)  # nobody holds the lock any more


UNAVAILABLE = (
    "Request to assign label to version {} of model model, which is not currently available for "
    "inference"
)


def labelled(folder, **labels):
    entries = "".join(
        f' version_labels {{ key: "{label}" value: {version} }}'
        for label, version in labels.items()
    )
    return models(model=(folder, "model_version_policy { all {} }" + entries))


def test_labels(make, folder, publish):
    publish(folder, 5, 5)
    manager = make()
    with pytest.raises(errors.FailedPrecondition) as caught:
        manager.start(labelled(folder, stable=3))  # nothing is available yet
    assert caught.value.message == UNAVAILABLE.format(3)
    manager = make()
    manager.start(labelled(folder))
    until(lambda: manager.available() == [("model", 5), ("model", 3)])
    for labels in ({"stable": 3, "canary": 5}, {"stable": 5}, {}):
        manager.reload(labelled(folder, **labels))
        for label in ("stable", "canary"):
            if label in labels:
                assert manager.version_for_label("model", label) == labels[label]
            else:
                with pytest.raises(errors.InvalidArgument) as caught:
                    manager.version_for_label("model", label)
                assert caught.value.message == f"Unrecognized servable version label: {label}"


def test_labels_are_checked_before_anything_changes(make, folder, publish):
    manager = make()
    manager.start(labelled(folder))
    manager.reload(labelled(folder, stable=3))
    with pytest.raises(errors.FailedPrecondition) as caught:
        manager.reload(labelled(folder, stable=3, canary=7))
    assert caught.value.message == UNAVAILABLE.format(7)
    assert manager.version_for_label("model", "stable") == 3
    with pytest.raises(errors.InvalidArgument):
        manager.version_for_label("model", "canary")


def test_labels_for_versions_that_are_not_available(make, folder):
    manager = make(allow_labels_for_unavailable=True)
    manager.start(labelled(folder, stable=3, canary=7))
    assert manager.version_for_label("model", "canary") == 7
    manager.reload(labelled(folder, stable=3, canary=7))
    with pytest.raises(errors.FailedPrecondition) as caught:
        manager.reload(labelled(folder, stable=11, canary=7))  # "stable" is in use
    assert caught.value.message == UNAVAILABLE.format(11)
    assert manager.version_for_label("model", "stable") == 3


def test_a_file_that_is_read_again(make, folder, publish, tmp_path, caplog):
    other = publish(folder.with_name("other"), 7, 5)
    path = tmp_path / "models.config"
    path.write_text(str(models(model=folder)))
    manager = make()
    manager.start(text_proto.read(path, wire.ModelServerConfig))
    file = ConfigFile(str(path), manager, 0.05)
    try:
        path.write_text("model_config_list {")
        until(lambda: "Failed to read ModelServerConfig file: Invalid protobuf" in caplog.text)
        assert manager.available() == [("model", 3)]
        time.sleep(0.3)  # several looks, and one complaint
        assert caplog.text.count("Error parsing text-format") == 1
        path.write_text(str(labelled(folder, stable=7)))
        until(lambda: "PollFilesystemAndReloadConfig failed to ReloadConfig: " in caplog.text)
        assert UNAVAILABLE.format(7) in caplog.text
        publish(folder, 7, 5)  # and the file is tried again
        until(lambda: states(manager)[0] == (7, "AVAILABLE"))
        path.write_text(str(models(other=other)))
        until(lambda: manager.available() == [("other", 7)])
        path.unlink()
        until(lambda: f"Failed to read ModelServerConfig file: {path}; No such" in caplog.text)
    finally:
        file.stop()


def test_a_file_with_a_model_that_never_comes_can_be_corrected(make, folder, tmp_path):
    path = tmp_path / "models.config"
    path.write_text(str(models(model=folder)))
    manager = make()
    manager.start(text_proto.read(path, wire.ModelServerConfig))
    file = ConfigFile(str(path), manager, 0.05)
    try:
        empty = folder.with_name("empty")
        empty.mkdir()
        path.write_text(str(models(model=folder, empty=empty)))
        until(lambda: manager.get("empty") is not None)
        path.write_text(str(models(other=folder)))
        until(lambda: manager.available() == [("other", 3)])
    finally:
        file.stop()


def test_drain(make, folder):
    """Without calls it takes no time; with calls, those that come after a while are refused."""
    manager = make()
    manager.start(models(model=folder))
    start = time.monotonic()
    manager.drain()
    assert time.monotonic() - start < 0.2
    with manager.get("model").get_handle():
        pass
    outcomes, stop = [], threading.Event()

    def work():
        while not stop.is_set():
            try:
                with manager.get("model").get_handle():
                    outcomes.append("served")
            except errors.Unavailable as error:
                outcomes.append(error.message)
            time.sleep(0.001)

    thread = threading.Thread(target=work)
    thread.start()
    manager.drain()
    stop.set()
    thread.join()
    assert set(outcomes) == {"served", "The server is stopping."}
    assert outcomes == sorted(outcomes, key=lambda outcome: outcome != "served")


def test_close_while_a_version_is_in_use(folder):
    manager = ModelManager(SavedModelLoader())
    manager.start(models(model=folder))
    assert manager.loaded() == [("model", 3)]
    with manager.get("model").get_handle() as (_, model):
        manager.close()
        assert manager.available() == []
        assert manager.loaded() == [("model", 3)]
        assert model.signatures
    assert manager.loaded() == []
    assert states(manager) == [(3, "END")]
