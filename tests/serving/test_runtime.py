"""SavedModels on the C runtime: dtypes, strings, errors, threads, memory."""

import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import tensorflow as tf

from keras_attention_serving import errors
from keras_attention_serving.runtime.saved_model import SavedModel


def call(model, signature, inputs, timeout=None):
    """Runs a signature by the names of its inputs and outputs."""
    spec = model.signatures[signature]
    feeds = {spec.inputs[name].name: value for name, value in inputs.items()}
    names = sorted(spec.outputs)
    arrays = model.run(feeds, [spec.outputs[name].name for name in names], timeout)
    return dict(zip(names, arrays, strict=True))


def resident_bytes():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


def echo_inputs(shape, signature):
    return {
        name: np.full(shape, b"x", object)
        if info.dtype == 7
        else np.ones(shape, tf.as_dtype(info.dtype).as_numpy_dtype)
        for name, info in signature.inputs.items()
    }


@pytest.mark.parametrize("shape", [(), (0,), (2, 3), (3, 0, 2)], ids=str)
def test_every_dtype_goes_through(saved_model, shape):
    inputs = echo_inputs(shape, saved_model.signatures["echo"])
    assert len(inputs) == 16
    for name, output in call(saved_model, "echo", inputs).items():
        assert output.dtype == inputs[name].dtype
        assert output.shape == shape
        assert output.tolist() == inputs[name].tolist()


def test_strings_of_every_length(saved_model):
    """TensorFlow keeps strings of up to 22 bytes in place and longer ones elsewhere."""
    inputs = echo_inputs((2, 3), saved_model.signatures["echo"])
    strings = [[b"", b"\0", b"a" * 22], [b"b" * 23, b"c" * 100_003, "\u00fc".encode()]]
    inputs["string"] = np.array(strings, object)
    assert call(saved_model, "echo", inputs)["string"].tolist() == strings


def test_several_outputs(saved_model):
    outputs = call(
        saved_model,
        "combine",
        {"left": np.array([3, 5], "f"), "right": np.array([2, 7], "f")},
    )
    assert {name: value.tolist() for name, value in outputs.items()} == {
        "sum": [5, 12],
        "difference": [1, -2],
        "product": [6, 35],
    }


def test_tensorflow_text_operations(saved_model):
    text = np.array(["one two  three", "vier", ""], object)
    outputs = call(saved_model, "tokenize", {"text": text})
    assert outputs["tokens"].tolist() == [
        [b"one", b"two", b"three"],
        [b"vier", b"", b""],
        [b"", b"", b""],
    ]
    assert outputs["count"].tolist() == [3, 1, 0]
    assert outputs["upper"].tolist() == [b"ONE TWO  THREE", b"VIER", b""]


def test_non_contiguous_and_big_endian_inputs(saved_model):
    x = np.arange(12, dtype=">f4").reshape(3, 4).T[1:]
    assert call(saved_model, "serving_default", {"x": x})["y"].tolist() == [
        [2, 10, 18],
        [4, 12, 20],
        [6, 14, 22],
    ]


def test_outputs_are_writable(saved_model):
    y = call(saved_model, "serving_default", {"x": np.ones((1, 3), "f")})["y"]
    y += 1
    assert y.tolist() == [[3, 3, 3]]


def test_shapes_are_not_compared_with_the_signature(saved_model):
    assert call(saved_model, "serving_default", {"x": np.float32(3)})["y"] == 6


def test_wrong_dtype(saved_model):
    with pytest.raises(errors.InvalidArgument) as caught:
        call(saved_model, "serving_default", {"x": np.ones((1, 3), np.int32)})
    assert caught.value.message == "Expects arg[0] to be float but int32 is provided"


def test_error_of_an_operation(saved_model):
    with pytest.raises(errors.InvalidArgument, match=r"Incompatible shapes: \[2\] vs. \[3\]"):
        call(saved_model, "combine", {"left": np.ones(2, "f"), "right": np.ones(3, "f")})


def test_unknown_tensor(saved_model):
    with pytest.raises(errors.NotFound, match="Tensor nothing:0 was not found in the graph"):
        saved_model.run({"nothing:0": np.ones(1)}, [])


def test_timeout(saved_model):
    start = time.monotonic()
    with pytest.raises(errors.DeadlineExceeded, match="Timed out waiting for notification"):
        call(saved_model, "wait", {"seconds": np.float64(30)}, timeout=0.2)
    assert time.monotonic() - start < 15
    with pytest.raises(errors.DeadlineExceeded, match="before the computation began"):
        call(saved_model, "wait", {"seconds": np.float64(0)}, timeout=0)
    assert call(saved_model, "wait", {"seconds": np.float64(0)}, timeout=30)["waited"] == 0


def test_the_longest_run(exports):
    """A caller without a deadline does not keep a thread for ever."""
    with SavedModel(exports[2], max_seconds=0.2) as model:
        for timeout in (None, 1e6):
            with pytest.raises(errors.DeadlineExceeded, match="Timed out waiting"):
                call(model, "wait", {"seconds": np.float64(1e6)}, timeout)
        assert call(model, "wait", {"seconds": np.float64(0)})["waited"] == 0


def test_calls_of_many_threads_do_not_mix(saved_model):
    wrong = []

    def work(number):
        x = np.full((1, 3), number, np.float32)
        text = np.array([f"{number} " * number], object)
        for _ in range(50):
            if call(saved_model, "serving_default", {"x": x})["y"].tolist() != [[2 * number] * 3]:
                wrong.append(number)
            if call(saved_model, "tokenize", {"text": text})["count"].tolist() != [number]:
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in (2, 3, 5, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_runs_overlap(saved_model):
    """Four waits of 0.7 s, at the same time: the GIL is free while a graph runs."""
    start = time.monotonic()
    threads = [
        threading.Thread(target=call, args=(saved_model, "wait", {"seconds": np.float64(0.7)}))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert time.monotonic() - start < 4 * 0.7


def test_calls_do_not_leak(saved_model):
    text = np.array([["a" * 1000, "b"]] * 50, object).ravel()
    x = np.ones((1000, 3), np.float32)

    def calls(count):
        for _ in range(count):
            call(saved_model, "tokenize", {"text": text})
            call(saved_model, "serving_default", {"x": x})
            with pytest.raises(errors.InvalidArgument):
                call(saved_model, "serving_default", {"x": text})

    calls(100)
    before = resident_bytes()
    calls(1000)  # input and output of each are some 100 kB: 100 MB and more if one were kept
    assert resident_bytes() - before < 20e6


def test_loading_does_not_leak(exports):
    def loads(count):
        for _ in range(count):
            with SavedModel(exports[5]) as model:
                assert call(model, "serving_default", {"x": np.ones(1, "f")})["y"].tolist() == [5]

    loads(3)
    before = resident_bytes()
    loads(10)
    assert resident_bytes() - before < 20e6


def test_closed_model(exports):
    model = SavedModel(exports[2])
    model.close()
    model.close()
    with pytest.raises(errors.Unavailable, match="The model is closed"):
        model.run({}, [])


def test_folder_without_a_model(tmp_path):
    with pytest.raises(errors.NotFound, match="Could not find SavedModel"):
        SavedModel(tmp_path)


def test_tags(exports):
    with pytest.raises(errors.NotFound, match="train"):
        SavedModel(exports[2], tags=["train"])


def test_config(exports):
    config = tf.compat.v1.ConfigProto(intra_op_parallelism_threads=1).SerializeToString()
    with SavedModel(exports[2], config=config) as model:
        assert call(model, "serving_default", {"x": np.ones(1, "f")})["y"].tolist() == [2]
    with pytest.raises(errors.InvalidArgument, match="Unparseable ConfigProto"):
        SavedModel(exports[2], config=b"\xff")


PROGRAM = """
import sys
import numpy as np
{before}
from keras_attention_serving.runtime.saved_model import SavedModel
with SavedModel({path!r}) as model:
    signature = model.signatures["tokenize"]
    text = np.array(["one two"], object)
    fetch = [signature.outputs["tokens"].name]
    print(model.run({{signature.inputs["text"].name: text}}, fetch)[0].tolist())
{after}
print([name for name in ("tensorflow", "keras", "keras_attention") if name in sys.modules])
"""


def run_python(program):
    # As a user's process, who asks for no remarks of TensorFlow and no silence either.
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    command = [sys.executable, "-c", program]
    return subprocess.run(command, capture_output=True, text=True, env=environment)


def test_imports_no_tensorflow_and_says_nothing(exports):
    run = run_python(PROGRAM.format(path=str(exports[2]), before="", after=""))
    assert run.stderr == ""
    assert run.stdout == "[[b'one', b'two']]\n[]\n"


def test_tensorflow_can_be_imported_afterwards(exports):
    # hashlib loads OpenSSL, which must not meet the one inside TensorFlow.
    after = "import hashlib, ssl, tensorflow as tf, tensorflow_text\nprint(int(tf.constant(2) + 3))"
    run = run_python(PROGRAM.format(path=str(exports[2]), before="", after=after))
    assert run.stdout == "[[b'one', b'two']]\n5\n['tensorflow', 'keras']\n"


def test_without_tensorflow():
    # A finder that knows no TensorFlow, as on a machine that has none.
    before = """
import importlib.util
find_spec = importlib.util.find_spec
importlib.util.find_spec = lambda name: None if name == "tensorflow" else find_spec(name)
"""
    run = run_python(PROGRAM.format(path="nowhere", before=before, after=""))
    assert run.stderr.splitlines()[-1] == (
        "ImportError: Expected TensorFlow's wheel, whose C library runs the models: "
        "`pip install tensorflow`. Received: no package named tensorflow"
    )


NO_MEMORY = """
import resource, sys
import numpy as np
from keras_attention_serving import errors
from keras_attention_serving.runtime.saved_model import SavedModel

with SavedModel({path!r}) as model:
    x = np.zeros((1 << 26, 3), np.float32)
    with open("/proc/self/statm") as file:
        pages = int(file.read().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + (1 << 26),) * 2)
    signature = model.signatures["serving_default"]
    fetches = [signature.outputs["y"].name]
    try:
        model.run({{signature.inputs["x"].name: x}}, fetches)
    except errors.ResourceExhausted as error:
        print(error.message)
    print(model.run({{signature.inputs["x"].name: x[:1]}}, fetches)[0].tolist())
"""


def test_no_memory_for_a_tensor(exports):
    run = run_python(NO_MEMORY.format(path=str(exports[2])))
    assert run.returncode == 0, run.stderr
    assert run.stdout == f"No memory for a tensor of {3 << 28} bytes.\n[[0.0, 0.0, 0.0]]\n"


def test_ranks_matter_to_operations_of_others(saved_model):
    """tensorflow_text's would crash the process."""
    signature = saved_model.signatures["tokenize"]
    text = np.empty((), object)
    text[()] = b"one two"
    with pytest.raises(errors.InvalidArgument, match=r"Expected a tensor of rank 1 for .*rank 0"):
        saved_model.run({signature.inputs["text"].name: text}, [signature.outputs["upper"].name])
