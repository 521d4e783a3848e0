"""The versions of one model: loading and unloading, step by step, without threads."""

import shutil
import threading

import numpy as np
import pytest

from keras_attention_serving import errors
from keras_attention_serving.versions.loading import SavedModelLoader
from keras_attention_serving.versions.model_versions import ModelVersions, Retries, State
from keras_attention_serving.versions.version_policy import All, Latest, versions_in

NO_RETRY = Retries(0)
load = SavedModelLoader()


def scale(model):
    """The value of `scale` in a model, which differs between the two exports."""
    signature = model.signatures["serving_default"]
    (y,) = model.run({signature.inputs["x"].name: np.ones(1, "f")}, [signature.outputs["y"].name])
    return float(y[0])


def states(model):
    return [(version.number, version.state.name) for version in model.versions()]


def settle(model, loader=load, retries=NO_RETRY):
    """Takes every step that is possible now."""
    while True:
        if (version := model.next_unload()) is not None:
            model.free(version)
        elif (version := model.next_load()) is not None:
            model.load(version, loader, retries)
        else:
            return


def refresh(model, base_path, policy=None, **keywords):
    """Sets the aspired versions from the folder, and settles."""
    found = versions_in(base_path)
    model.set_aspired_versions(
        {number: found[number] for number in (policy or Latest()).choose(found)}
    )
    settle(model, **keywords)


@pytest.fixture
def folder(publish, tmp_path):
    """A base path with version 3, of scale 2."""
    return publish(tmp_path / "models", 3, 2)


@pytest.fixture
def model(folder):
    """Version 3 loaded."""
    model = ModelVersions("model")
    refresh(model, folder)
    yield model
    model.set_aspired_versions({})
    settle(model)


def test_the_newest_version_is_served(publish, folder):
    publish(folder, 11, 5)
    model = ModelVersions("model")
    refresh(model, folder)
    assert states(model) == [(11, "AVAILABLE")]
    with model.get_handle() as (number, loaded):
        assert (number, scale(loaded)) == (11, 5)
    model.set_aspired_versions({})
    settle(model)
    assert states(model) == [(11, "END")]


def test_a_new_version_replaces_the_old_one(model, folder, publish):
    publish(folder, 5, 5)
    refresh(model, folder)
    assert states(model) == [(5, "AVAILABLE"), (3, "END")]
    with model.get_handle() as (number, loaded):
        assert (number, scale(loaded)) == (5, 5)
    with pytest.raises(errors.NotFound, match=r"request: Specific\(model, 3\)$"):
        model.get_handle(3)


def test_the_new_version_serves_before_the_old_one_goes(model, folder, publish):
    seen = []
    publish(folder, 5, 5)

    def watched(path):
        seen.append(states(model))
        return load(path)

    refresh(model, folder, loader=watched)
    assert seen == [[(5, "LOADING"), (3, "AVAILABLE")]]


def test_states_on_the_way(folder):
    model = ModelVersions("model")
    model.set_aspired_versions(versions_in(folder))
    assert states(model) == [(3, "START")]
    settle(model)
    assert states(model) == [(3, "AVAILABLE")]
    model.set_aspired_versions({})
    version = model.next_unload()
    assert states(model) == [(3, "UNLOADING")]
    model.free(version)
    assert states(model) == [(3, "END")]


def test_a_broken_version_never_replaces_a_working_one(model, folder):
    (folder / "5").mkdir()
    refresh(model, folder)
    assert states(model) == [(5, "END"), (3, "AVAILABLE")]
    broken = model.versions()[0]
    assert isinstance(broken.error, errors.NotFound)
    assert "Could not find SavedModel" in broken.error.message
    refresh(model, folder)
    assert states(model) == [(5, "END"), (3, "AVAILABLE")]
    with model.get_handle() as (number, loaded):
        assert (number, scale(loaded)) == (3, 2)


def test_a_failed_load_is_tried_again_later(model, folder, exports):
    (folder / "5").mkdir()
    later = Retries(1, 3600)
    refresh(model, folder, retries=later)
    assert states(model) == [(5, "LOADING"), (3, "AVAILABLE")]
    assert "Could not find SavedModel" in model.versions()[0].error.message
    assert model.retry_at() is not None
    shutil.copytree(exports[5], folder / "5", dirs_exist_ok=True)
    refresh(model, folder, retries=later)
    assert states(model) == [(5, "LOADING"), (3, "AVAILABLE")]
    model.versions()[0].retry_at = 0
    settle(model, retries=later)
    assert states(model) == [(5, "AVAILABLE"), (3, "END")]
    assert model.versions()[0].error is None


def test_a_version_that_keeps_failing_is_given_up(folder):
    attempts = []

    def failing(path):
        attempts.append(path)
        raise RuntimeError("inner text")

    model = ModelVersions("model")
    refresh(model, folder, loader=failing, retries=Retries(5, 0))
    assert len(attempts) == 6  # the first and five more
    assert states(model) == [(3, "END")]
    assert str(model.versions()[0].error) == "The model cannot be loaded."
    with pytest.raises(errors.NotFound):
        model.get_handle()


def test_a_failing_version_that_disappears_is_not_tried_again(model, folder):
    (folder / "5").mkdir()
    refresh(model, folder, retries=Retries(5, 3600))
    (folder / "5").rmdir()
    refresh(model, folder, retries=Retries(5, 3600))
    assert states(model) == [(5, "END"), (3, "AVAILABLE")]
    assert model.retry_at() is None


def test_a_failed_version_that_comes_back_is_loaded_anew(model, folder, publish):
    (folder / "5").mkdir()
    refresh(model, folder)
    (folder / "5").rmdir()
    refresh(model, folder)
    publish(folder, 5, 5)
    refresh(model, folder)
    assert states(model) == [(5, "AVAILABLE"), (3, "END")]


def test_calls_on_a_version_that_goes_may_finish(model, folder, publish):
    with model.get_handle() as (number, loaded):
        publish(folder, 5, 5)
        refresh(model, folder)
        assert states(model) == [(5, "AVAILABLE"), (3, "UNLOADING")]
        assert (number, scale(loaded)) == (3, 2)
        with model.get_handle() as (newer, _):
            assert newer == 5
        settle(model)
        assert states(model) == [(5, "AVAILABLE"), (3, "UNLOADING")]
    settle(model)
    assert states(model) == [(5, "AVAILABLE"), (3, "END")]
    with pytest.raises(errors.Unavailable, match="closed"):
        scale(loaded)


def test_an_older_version_comes_back(model, folder, publish):
    publish(folder, 5, 5)
    refresh(model, folder)
    shutil.rmtree(folder / "5")
    refresh(model, folder)
    assert states(model) == [(5, "END"), (3, "AVAILABLE")]


def test_an_empty_folder_unloads_everything(model, folder):
    shutil.rmtree(folder / "3")
    refresh(model, folder)
    assert states(model) == [(3, "END")]
    with pytest.raises(errors.NotFound, match=r"^Servable not found for request: Latest\(model\)$"):
        model.get_handle()


def test_of_several_versions_that_are_not_aspired_one_serves_until_there_is_a_better_one(
    publish, folder
):
    publish(folder, 5, 5)
    model = ModelVersions("model")
    refresh(model, folder, All())
    assert states(model) == [(5, "AVAILABLE"), (3, "AVAILABLE")]
    for number, factor in ((None, 5), (3, 2), (5, 5)):
        with model.get_handle(number) as (_, loaded):
            assert scale(loaded) == factor
    (folder / "7").mkdir()
    refresh(model, folder)
    assert states(model) == [(7, "END"), (5, "AVAILABLE"), (3, "END")]
    model.set_aspired_versions({})
    settle(model)


def test_outcome_of_an_epoch(model, folder, publish):
    assert model.load_result().number == 3
    model.forget_load_results()
    assert model.load_result() is None
    publish(folder, 5, 5)
    refresh(model, folder)
    assert model.load_result().number == 5


def test_handles_while_versions_change(model, folder, publish):
    """Calls without a pause while version after version is published: none fails."""
    failures, stop = [], threading.Event()

    def work():
        while not stop.is_set():
            try:
                with model.get_handle() as (number, loaded):
                    if scale(loaded) != (2 if number % 2 else 5):
                        failures.append(number)
            except Exception as error:
                failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for version in range(4, 9):
        publish(folder, version, 2 if version % 2 else 5)
        refresh(model, folder)
    stop.set()
    for thread in threads:
        thread.join()
    settle(model)
    assert failures == []
    assert states(model) == [(8, "AVAILABLE")] + [(n, "END") for n in (7, 6, 5, 4, 3)]


def test_states_have_the_numbers_of_the_protocol():
    from tensorflow_serving.apis.get_model_status_pb2 import ModelVersionStatus

    official = {name: number for name, number in ModelVersionStatus.State.items() if number}
    assert official == {state.name: state.value for state in State}
