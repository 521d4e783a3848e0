"""Size and shape of the code: files, functions, annotations, and the way of a call through them.

    python benchmarks/code_figures.py [--checkout FOLDER]

Prints two tables. The first has lines of files, lines of functions (without their docstrings), the
part of the functions that are long, deeply nested, documented or annotated, and the most files in
one folder, for each package. The second follows three calls through the code: how many functions
run, in how many files, and how often the next function is in another file than the one before. The
masks are followed until the softmax, the request from its bytes to those of the response.
`--checkout` names another checkout, to compare with.
"""

import ast
import itertools
import statistics
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

REPOSITORY = Path(__file__).parents[1]
PACKAGES = {
    "keras_attention": "keras_attention",
    "keras_attention_command": "keras_attention_command",
    "keras_attention_serving": "serving/keras_attention_serving",
}
SOFTMAX = ("masked_softmax", "softmax")  # where a mask has its effect
NESTING = (ast.For, ast.While, ast.If, ast.With, ast.Try, ast.AsyncFor, ast.AsyncWith, ast.Match)


def body_lines(function):
    """Lines of a function from its `def` to its end, without the docstring."""
    first = function.body[0]
    lines = function.end_lineno - function.lineno + 1
    if ast.get_docstring(function, clean=False) is not None:
        lines -= first.end_lineno - first.lineno + 1
    return lines


def depth(node, level=0):
    """The deepest nesting of blocks below a node; functions within count for themselves."""
    deepest = level
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            continue
        deepest = max(deepest, depth(child, level + isinstance(child, NESTING)))
    return deepest


def figures(folder):
    """The row of a package: a name and a text for each column."""
    paths = [path for path in folder.rglob("*.py") if path.name != "__init__.py"]
    lines, comments, functions = [], 0, []
    for path in paths:
        text = path.read_text()
        lines.append(text.count("\n"))
        comments += sum(line.lstrip().startswith("#") for line in text.splitlines())
        nodes = ast.walk(ast.parse(text))
        functions += [n for n in nodes if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef))]
    sizes = [body_lines(function) for function in functions]
    public = [function for function in functions if not function.name.startswith("_")]

    def share(items, condition):
        return f"{100 * sum(map(condition, items)) / len(items):.1f} %"

    nine_of_ten = statistics.quantiles(lines, n=10, method="inclusive")[-1]
    per_folder = [len(list(f.glob("*.py"))) for f in {path.parent for path in paths}]
    return {
        "files": str(len(paths)),
        "lines of a file: median": f"{statistics.median(lines):.0f}",
        "lines of a file: 9 of 10 up to": f"{nine_of_ten:.0f}",
        "lines of a file: most": str(max(lines)),
        "lines of a function: median": f"{statistics.median(sizes):.0f}",
        "functions of more than 40 lines": share(sizes, lambda size: size > 40),
        "functions nested more than 3 deep": share(functions, lambda f: depth(f) > 3),
        "public functions with a docstring": share(public, lambda f: bool(ast.get_docstring(f))),
        "functions with an annotated return": share(functions, lambda f: f.returns is not None),
        "lines that are comments": f"{100 * comments / sum(lines):.1f} %",
        "files in a folder: most": str(max(per_folder)),
    }


class Trace:
    """The functions of the packages that run inside `with`: here and in threads made later."""

    def __init__(self, checkout):
        self._folders = tuple(str(checkout / folder) + "/" for folder in PACKAGES.values())
        self._listens = False
        self._files = []
        sys.setprofile(self._event)
        threading.setprofile(self._event)

    def __enter__(self):
        self._listens = True

    def __exit__(self, *_):
        self._listens = False

    def _event(self, frame, event, _):
        code = frame.f_code
        if event != "call" or not self._listens or not code.co_filename.startswith(self._folders):
            return
        if code.co_name.startswith("<"):
            return  # a comprehension or a module, not a function
        self._files.append(code.co_filename)
        self._listens = code.co_name not in SOFTMAX

    def row(self):
        moves = sum(a != b for a, b in itertools.pairwise(self._files))
        return len(self._files), len(set(self._files)), moves


def mask_of_one_head(checkout):
    """`value_mask` of additive attention, to the softmax."""
    import numpy as np

    import keras_attention as ka

    layer = ka.BahdanauAttention(7)
    x, mask = np.ones((2, 5, 3), "float32"), np.ones((2, 5), bool)
    layer(x, x, value_mask=mask)
    trace = Trace(checkout)
    with trace:
        layer(x, x, value_mask=mask)
    return trace.row()


def mask_of_many_heads(checkout):
    """`value_mask` of self-attention, to the kernel that works in blocks."""
    import numpy as np

    import keras_attention as ka

    layer = ka.MultiHeadSelfAttention(2, 8)
    x, mask = np.ones((2, 2048, 16), "float32"), np.ones((2, 2048), bool)
    layer(x, value_mask=mask)
    trace = Trace(checkout)
    with trace:
        layer(x, value_mask=mask)
    return trace.row()


def request(checkout, batching):
    """A Predict request over gRPC on a server that has answered others before."""
    import grpc
    import numpy as np
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2

    from keras_attention_serving.server import Server

    try:
        from keras_attention_serving.settings.options import Options
    except ImportError:  # an earlier checkout
        from keras_attention_serving.options import Options

    class Model(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, 3], tf.float32, name="x")])
        def predict(self, x):
            for _ in tf.range(3):  # never known to be quick
                x = tf.matmul(x, tf.eye(3)) + 1.0
            return {"y": x}

    with tempfile.TemporaryDirectory() as folder:
        model = Model()
        tf.saved_model.save(model, f"{folder}/model/1", {"serving_default": model.predict})
        message = predict_pb2.PredictRequest()
        message.model_spec.name = "model"
        message.inputs["x"].CopyFrom(tf.make_tensor_proto(np.ones((1, 3), np.float32)))
        data = message.SerializeToString()
        settings = Options(enable_batching=batching)
        trace = Trace(checkout)
        with Server({"model": f"{folder}/model"}, port=0, host="127.0.0.1", settings=settings) as s:
            with grpc.insecure_channel(f"127.0.0.1:{s.port}") as channel:
                method = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
                for _ in range(5):
                    method(data)
                with trace:
                    method(data)
    return trace.row()


TRACES = {
    "a mask, additive attention": mask_of_one_head,
    "a mask, self-attention in blocks": mask_of_many_heads,
    "a request over gRPC": lambda checkout: request(checkout, False),
    "a request over gRPC, batched": lambda checkout: request(checkout, True),
}


@click.command(help=__doc__)
@click.option("--checkout", default=str(REPOSITORY), type=click.Path(exists=True))
@click.option("--trace", hidden=True)
def main(checkout, trace):
    """Prints both tables."""
    checkout = Path(checkout).resolve()
    sys.path[:0] = [str(checkout), str(checkout / "serving")]
    if trace:
        print(*TRACES[trace](checkout))
        return
    console = Console()
    columns = {
        name: figures(checkout / f) for name, f in PACKAGES.items() if (checkout / f).is_dir()
    }
    table = Table("", *columns, title="Code")
    for row in next(iter(columns.values())):
        table.add_row(row, *(column[row] for column in columns.values()))
    console.print(table)
    table = Table("the way of", "functions", "files", "moves between files", title="Calls")
    for name in TRACES:
        # Each in a process of its own, so that none is warmed up by another.
        command = [sys.executable, __file__, "--checkout", str(checkout), "--trace", name]
        done = subprocess.run(command, capture_output=True, text=True)
        said = done.stdout.split() if done.returncode == 0 else [done.stderr.strip()[-200:]]
        table.add_row(name, *said)
    console.print(table)


if __name__ == "__main__":
    main()
