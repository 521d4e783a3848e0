"""What the page on moving over shows works, and it leaves nothing out."""

import json
import re
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_attention as ka
from keras_attention import migrate
from tests.arrays import assert_equal

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "migrating-from-tfa.md").read_text("utf-8")
SIGNATURES = json.loads((ROOT / "tests/fixtures/addons_signatures.json").read_text())
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, flags=re.M | re.S)
# Of TensorFlow 1, whose names the page has to tell as well.
CONTRIB = (
    "TrainingHelper",
    "ScheduledEmbeddingTrainingHelper",
    "ScheduledOutputTrainingHelper",
    "GreedyEmbeddingHelper",
    "SampleEmbeddingHelper",
    "InferenceHelper",
    "CustomHelper",
    "num_units",
    "zero_state",
    "score_mask_value",
    "check_inner_dims_defined",
)


def old_decoder(path, units=32, state=64, memory=48, embedded=16, tokens=50):
    """A file as TensorFlow Addons' users bring it, of the sizes on the page."""
    shapes = {
        "cell/_attention_mechanisms/0/query_layer/kernel": (state, units),
        "cell/_attention_mechanisms/0/memory_layer/kernel": (memory, units),
        "cell/_attention_mechanisms/0/attention_v": (units,),
        "cell/_attention_layers/0/kernel": (state + memory, state),
        "cell/_cell/kernel": (embedded + state, 4 * state),
        "cell/_cell/recurrent_kernel": (state, 4 * state),
        "cell/_cell/bias": (4 * state,),
        "output_layer/kernel": (state, tokens),
        "output_layer/bias": (tokens,),
    }
    arrays = {
        f"decoder/{name}/.ATTRIBUTES/VARIABLE_VALUE": np.full(shape, i + 2.0)
        for i, (name, shape) in enumerate(shapes.items())
    }
    noise = {"_CHECKPOINTABLE_OBJECT_GRAPH": b"\x00graph", "optimizer/_variables/1": np.ones(3)}
    np.savez(path, **arrays, **noise)


@pytest.fixture(scope="module")
def after(tmp_path_factory):
    """The names that the program on the page ends with."""
    folder = tmp_path_factory.mktemp("page")
    old_decoder(folder / "old.npz")
    program = "\n".join(code for language, code in BLOCKS if language == "python")
    # The one thing that the page takes from the folder that it runs in.
    assert program.count('"old.npz"') == 1
    program = program.replace('"old.npz"', repr(str(folder / "old.npz")))
    keras.utils.set_random_seed(1)
    names, loaded = {}, []
    load = migrate.load_addons
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(migrate, "load_addons", lambda *a: loaded.append((a[0], load(*a))))
        exec(compile(program, "docs/migrating-from-tfa.md", "exec"), names)
    return {**names, "loaded": loaded}


def test_the_program_is_all_code_for_here():
    assert {language for language, _ in BLOCKS} == {"py", "python"}
    for language, code in BLOCKS:
        old = "tfa." in code or "tf.train" in code
        assert old == (language == "py"), code


def test_weights_arrive(after):
    ((decoder, filled),) = after["loaded"]
    assert len(filled) == 9
    attention = decoder.cell.attentions[0]
    values = (2, 3, 4, 5, 6, 7, 8, 9, 10)
    weights = (
        attention.query_dense.kernel,
        attention.key_dense.kernel,
        attention.attention_v,
        decoder.cell.attention_layers[0].kernel,
        *decoder.cell.cell.weights,
        *decoder.output_layer.weights,
    )
    for weight, value in zip(weights, values, strict=True):
        assert_equal(weight.value, np.full(weight.shape, value))


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("context", (2, 1, 48)),
        ("output", (2, 64)),
        ("outputs", (2, 5, 64)),
        ("history", (2, 5, 7)),
        ("logits", (2, 5, 50)),
        ("loss", ()),
        ("sampled_logits", (2, 5, 50)),
        ("best", (2, 20)),
        ("step_logits", (2, 50)),
    ],
)
def test_what_comes_out(after, name, shape):
    x = keras.ops.convert_to_numpy(after[name])
    assert x.shape == shape
    assert np.isfinite(x).all()


def test_answers(after):
    assert after["answers"].ids.shape == (2, 20)
    assert after["drawn"].ids.shape == (2, 20)
    assert after["found"].ids.shape == (2, 5, 20)
    assert after["answers_of_model"].ids.shape == (2, 1, 6)


def section_of(name):
    sections = [part for part in re.split(r"^##+ ", PAGE, flags=re.M)]
    found = [part for part in sections if f"`{name}`" in part.splitlines()[0]]
    assert len(found) == 1, f"{name}: {len(found)} headings"
    return found[0]


@pytest.mark.parametrize("name", SIGNATURES)
def test_every_class_and_argument_is_there(name):
    section = section_of(name)
    words = set(re.findall(r"\w+", " ".join(re.findall(r"`([^`\n]+)`", section))))
    assert not set(SIGNATURES[name]) - words


@pytest.mark.parametrize("name", CONTRIB)
def test_names_of_contrib_are_there(name):
    assert f"`{name}`" in PAGE


def test_names_of_ours_exist():
    """What is called on the right side of a table is there."""
    right = " ".join(row.split("|")[2] for row in PAGE.splitlines() if row.startswith("| "))
    classes = set(re.findall(r"`([A-Z]\w+)[(`]", right)) - {"NBest", "Dense"}
    assert len(classes) >= 8
    assert not [name for name in classes if not hasattr(ka, name)]
    for path in re.findall(r"`keras_attention\.(\w+)\.(\w+)", right):
        assert hasattr(getattr(ka, path[0]), path[1])
    for name in re.findall(r"migrate\.(\w+)", right):
        assert hasattr(migrate, name)


def test_links_to_the_page():
    assert "(docs/migrating-from-tfa.md)" in (ROOT / "README.md").read_text("utf-8")
