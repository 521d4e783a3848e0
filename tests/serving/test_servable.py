"""The versions of one model: what is loaded, what goes, and when."""

import shutil
import threading

import numpy as np
import pytest

from keras_attention_serving import errors, servable
from keras_attention_serving.servable import Servable, State


def scale(model):
    """What tells the exports apart."""
    signature = model.signatures["serving_default"]
    (y,) = model.run({signature.inputs["x"].name: np.ones(1, "f")}, [signature.outputs["y"].name])
    return float(y[0])


def states(model):
    return [(version.number, version.state.name) for version in model.versions()]


@pytest.fixture
def model(publish, tmp_path):
    """A servable whose folder holds version 3, of scale 2, loaded."""
    publish(tmp_path / "models", 3, 2)
    model = Servable("model", tmp_path / "models")
    model.refresh()
    yield model
    model.close()


def test_the_newest_version_is_served(publish, tmp_path):
    for version, factor in ((3, 2), (11, 5)):
        publish(tmp_path / "models", version, factor)
    model = Servable("model", tmp_path / "models")
    model.refresh()
    assert states(model) == [(11, "AVAILABLE")]
    with model.lease() as (number, loaded):
        assert (number, scale(loaded)) == (11, 5)
    model.close()
    assert states(model) == [(11, "END")]


def test_names_of_version_folders(tmp_path):
    for name in ("7", "0011", "11", "-2", "1.5", "tmp-13", "13.tmp", "\u0663", ".hidden"):
        (tmp_path / name).mkdir()
    (tmp_path / "17").touch()
    assert servable.versions_in(tmp_path) == {7: tmp_path / "7", 11: tmp_path / "0011"}


def test_a_new_version_replaces_the_old_one(model, publish):
    publish(model.base_path, 5, 5)
    model.refresh()
    assert states(model) == [(5, "AVAILABLE"), (3, "END")]
    with model.lease() as (number, loaded):
        assert (number, scale(loaded)) == (5, 5)
    with pytest.raises(errors.NotFound, match=r"request: Specific\(model, 3\)$"):
        with model.lease(3):
            pass


def test_the_new_version_serves_before_the_old_one_goes(model, publish):
    seen = []
    publish(model.base_path, 5, 5)

    def load(folder):
        seen.append(states(model))
        return servable.load(folder)

    model._loader = load
    model.refresh()
    assert seen == [[(5, "LOADING"), (3, "AVAILABLE")]]


def test_a_broken_version_never_replaces_a_working_one(model):
    (model.base_path / "5").mkdir()
    model.refresh()
    assert states(model) == [(5, "END"), (3, "AVAILABLE")]
    broken = model.versions()[0]
    assert isinstance(broken.error, errors.NotFound)
    assert "Could not find SavedModel" in broken.error.message
    shutil.rmtree(model.base_path / "3")
    model.refresh()
    with model.lease() as (number, loaded):
        assert (number, scale(loaded)) == (3, 2)


def test_a_failed_load_is_tried_again_later(model, exports, monkeypatch):
    (model.base_path / "5").mkdir()
    model.refresh()
    shutil.copytree(exports[5], model.base_path / "5", dirs_exist_ok=True)
    model.refresh()
    assert states(model) == [(5, "END"), (3, "AVAILABLE")]
    model.versions()[0].retry_at = 0
    model.refresh()
    assert states(model) == [(5, "AVAILABLE"), (3, "END")]
    assert model.versions()[0].error is None


def test_a_version_that_keeps_failing_is_given_up(model):
    (model.base_path / "5").mkdir()
    attempts = []

    def load(folder):
        attempts.append(folder)
        raise RuntimeError("inner text")

    model._loader = load
    for _ in range(10):
        model.refresh()
        model.versions()[0].retry_at = 0
    assert len(attempts) == 6  # the first and five more
    assert str(model.versions()[0].error) == "The model cannot be loaded."


def test_calls_on_a_version_that_goes_may_finish(model, publish):
    with model.lease() as (number, loaded):
        publish(model.base_path, 5, 5)
        model.refresh()
        assert states(model) == [(5, "AVAILABLE"), (3, "UNLOADING")]
        assert (number, scale(loaded)) == (3, 2)
        with model.lease() as (newer, _):
            assert newer == 5
        model.refresh()
        assert states(model) == [(5, "AVAILABLE"), (3, "UNLOADING")]
    assert states(model) == [(5, "AVAILABLE"), (3, "END")]
    with pytest.raises(errors.Unavailable, match="closed"):
        scale(loaded)


def test_an_older_version_comes_back(model, publish):
    publish(model.base_path, 5, 5)
    model.refresh()
    shutil.rmtree(model.base_path / "5")
    model.refresh()
    assert states(model) == [(5, "END"), (3, "AVAILABLE")]


def test_a_folder_that_is_gone_changes_nothing(model):
    model.base_path.rename(model.base_path.with_name("elsewhere"))
    with pytest.raises(FileNotFoundError):
        model.refresh()
    assert states(model) == [(3, "AVAILABLE")]


def test_an_empty_folder_unloads_everything(model):
    shutil.rmtree(model.base_path / "3")
    model.refresh()
    assert states(model) == [(3, "END")]
    with pytest.raises(errors.NotFound, match=r"^Servable not found for request: Latest\(model\)$"):
        with model.lease():
            pass


def test_a_policy_may_want_more_versions(publish, tmp_path):
    for version, factor in ((3, 2), (5, 5)):
        publish(tmp_path / "models", version, factor)
    model = Servable("model", tmp_path / "models", policy=set)
    model.refresh()
    assert states(model) == [(5, "AVAILABLE"), (3, "AVAILABLE")]
    for number, factor in ((None, 5), (3, 2), (5, 5)):
        with model.lease(number) as (_, loaded):
            assert scale(loaded) == factor
    model.close()


def test_leases_while_versions_change(model, publish):
    """Calls without a pause while version after version is published: none fails."""
    failures, stop = [], threading.Event()

    def work():
        while not stop.is_set():
            try:
                with model.lease() as (number, loaded):
                    if scale(loaded) != (2 if number % 2 else 5):
                        failures.append(number)
            except Exception as error:
                failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for version in range(4, 9):
        publish(model.base_path, version, 2 if version % 2 else 5)
        model.refresh()
    stop.set()
    for thread in threads:
        thread.join()
    assert failures == []
    assert states(model) == [(8, "AVAILABLE")] + [(n, "END") for n in (7, 6, 5, 4, 3)]


def test_states_have_the_numbers_of_the_protocol():
    from tensorflow_serving.apis.get_model_status_pb2 import ModelVersionStatus

    official = {name: number for name, number in ModelVersionStatus.State.items() if number}
    assert official == {state.name: state.value for state in State}
