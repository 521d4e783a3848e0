"""Trial runs, which measure a model when it is loaded and change nothing."""

from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from keras_attention_serving.protocol import tensors, wire
from keras_attention_serving.protocol.tensors import Array

_LOOPS = {"While", "StatelessWhile", "For", "Enter"}
# Operations with a state that only read it. The state of SentencePiece and of tables is made once.
_READERS = set(
    """
    VarHandleOp ReadVariableOp ResourceGather ResourceGatherNd VariableV2 Variable HashTable
    HashTableV2 LookupTableFind LookupTableFindV2 LookupTableSizeV2 MutableHashTable
    MutableHashTableV2 StatefulPartitionedCall PartitionedCall While If Case Assert
    CheckNumerics CheckNumericsV2 SentencepieceOp SentencepieceTokenizeOp
    SentencepieceDetokenizeOp SentencepieceIdToStringOp SentencepieceStringToIdOp
    SentencepieceVocabSizeOp
    """.split()
)


class Trial(NamedTuple):
    """A run: arrays by the name of the tensor that they are fed to, and the tensors to compute."""

    feeds: dict[str, Array]
    fetches: list[str]


def trial(meta_graph: wire.MetaGraphDef, stateful: Callable[[], Collection[str]]) -> Trial | None:
    """Makes a run of the default signature of a graph, with one row of the smallest inputs.

    Returns None unless the graph has loops, whose steps are many and small, and changes nothing.

    Args:
        meta_graph: a `MetaGraphDef`.
        stateful: returns the names of all operations with a state.
    """
    signature = meta_graph.signature_def.get(wire.DEFAULT_SIGNATURE)
    if signature is None or not signature.outputs:
        return None
    fetches = sorted(info.name for info in signature.outputs.values())
    functions = {f.signature.name: f.node_def for f in meta_graph.graph_def.library.function}
    used = set(_reached(meta_graph.graph_def.node, functions, fetches)) - set(functions)
    if not used & _LOOPS or used & set(stateful()) - _READERS:
        return None
    feeds = {}
    for alias, info in signature.inputs.items():
        if info.tensor_shape.unknown_rank:
            return None
        try:
            feeds[info.name] = (
                tensors.to_array(signature.defaults[alias])
                if alias in signature.defaults
                else _least(info)
            )
        except ValueError:
            return None
    return Trial(feeds, fetches)


def _least(info: wire.TensorInfo) -> Array:
    shape = [1 if dim.size < 0 else dim.size for dim in info.tensor_shape.dim]
    dtype = tensors.numpy_dtype(info.dtype)
    return np.full(shape, b"" if dtype.kind == "O" else dtype.type(1), dtype)


def _reached(
    nodes: Iterable[wire.NodeDef], functions: dict[str, Any], fetches: list[str]
) -> Iterator[str]:
    """The kinds of the operations that compute some tensors."""
    by_name = {node.name: node for node in nodes}
    todo = [name.partition(":")[0] for name in fetches]
    seen, called = set(todo), set()
    bodies = []
    while todo:
        node = by_name.get(todo.pop())
        if node is not None:
            bodies.append(node)
            inputs = {name.lstrip("^").partition(":")[0] for name in node.input}
            todo += inputs - seen
            seen |= inputs
    while bodies:
        node = bodies.pop()
        yield node.op
        names = [node.op]
        for value in node.attr.values():
            names += [value.func.name, *(function.name for function in value.list.func)]
        for name in names:
            if name in functions and name not in called:
                called.add(name)
                bodies += functions[name]
