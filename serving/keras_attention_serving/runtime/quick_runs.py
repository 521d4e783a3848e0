"""Record of runs of a graph that take less than a millisecond.

Such a run is computed in the thread that reads the request, with the interpreter's lock held, and
cannot be interrupted. So it must be known to be quick: an earlier run of the same outputs was, for
inputs of the same shapes, and of the same values if these may decide how much is computed.
"""

from collections.abc import Mapping, Sequence

from keras_attention_serving.protocol import tensors, wire
from keras_attention_serving.protocol.tensors import Array

# A run that took less than the first is quick from then on, until one takes more than the second.
# They are far apart, because threads that wait for each other make runs look slower than they are.
QUICK_SECONDS, SLOW_SECONDS = 0.0005, 0.005
SMALL = 1 << 16  # bytes of the inputs, and of the outputs
MAX_KNOWN = 1000  # runs in the record; bounded, because clients choose them

# Random numbers, for which an operation never waits.
_RANDOM = set(
    """
    RandomUniform RandomUniformInt RandomStandardNormal TruncatedNormal RandomShuffle
    Multinomial RandomGammaV2 RandomGamma RandomPoissonV2
    """.split()
)
# Operations of unbounded time: loops and branches, where values decide what is computed and how
# often; and files, which may block.
_UNBOUNDED_OPS = set(
    """
    While StatelessWhile For Enter RefEnter Switch RefSwitch If StatelessIf Case StatelessCase
    MapDefun RemoteCall ReadFile CTCBeamSearchDecoder CTCGreedyDecoder NonMaxSuppression
    NonMaxSuppressionV2 NonMaxSuppressionV3 NonMaxSuppressionV4 NonMaxSuppressionV5
    NonMaxSuppressionWithOverlaps CombinedNonMaxSuppression MatchingFiles
    """.split()
)
# Operations with a state that never block: variables, tables, checks, and the restoring of a model.
# All others with a state may block (queues, stages, files, other processes).
_NONBLOCKING_OPS = _RANDOM | set(
    """
    VarHandleOp ReadVariableOp ResourceGather ResourceGatherNd VariableV2 Variable
    VarIsInitializedOp AssignVariableOp AssignAddVariableOp StatefulPartitionedCall Assert
    HashTable HashTableV2 LookupTableFind LookupTableFindV2 LookupTableSizeV2
    LookupTableImportV2 LookupTableExportV2 MutableHashTable MutableHashTableV2
    InitializeTableV2 InitializeTable InitializeTableFromTextFile InitializeTableFromTextFileV2
    RestoreV2 SaveV2 CheckNumerics CheckNumericsV2 ShardedFilename MergeV2Checkpoints
    DisableCopyOnRead IsVariableInitialized
    """.split()
)
# Operations whose output size depends on values, and those that make integers of other numbers.
_OPS_SIZED_BY_VALUES = _RANDOM | set(
    """
    StatelessRandomUniform StatelessRandomUniformV2 StatelessRandomUniformInt
    StatelessRandomUniformIntV2 StatelessRandomNormal StatelessRandomNormalV2
    StatelessTruncatedNormal StatelessTruncatedNormalV2 StatelessMultinomial Fill Range Tile
    BroadcastTo LinSpace OneHot Pad PadV2 MirrorPad TensorListReserve EmptyTensorList
    RaggedRange Empty ScatterNd Bincount SparseToDense DenseBincount ResizeBilinear
    ResizeNearestNeighbor SequenceMask ResizeArea ResizeBicubic ScaleAndTranslate Substr
    MatrixDiagV2 MatrixDiagV3 UnsortedSegmentSum UnsortedSegmentMax UnsortedSegmentMin
    UnsortedSegmentProd RaggedTensorToTensor StringNGrams CropAndResize
    """.split()
)
_INTEGER_OPS = {"Cast", "Bitcast", "Bucketize", "QuantizeV2"}
_FLOATS = "fcV"  # kinds of NumPy dtypes; V is that of ml_dtypes
_FLOAT_TYPES = tensors.data_types("FLOAT", "DOUBLE", "COMPLEX64", "BFLOAT16", "COMPLEX128", "HALF")


class QuickRuns:
    """Record of the quick runs of one graph, safe to use from any thread.

    Args:
        meta_graph: its `MetaGraphDef`. One that does not describe its operations, as very old ones
            do not, has no quick runs.
    """

    def __init__(self, meta_graph: wire.MetaGraphDef) -> None:
        graph = meta_graph.graph_def
        nodes = [*graph.node, *(n for f in graph.library.function for n in f.node_def)]
        used = {node.op for node in nodes}
        described = {op.name: op.is_stateful for op in meta_graph.meta_info_def.stripped_op_list.op}
        functions = {function.signature.name for function in graph.library.function}
        self._never = bool(used & _UNBOUNDED_OPS) or any(
            described.get(op, op not in functions) and op not in _NONBLOCKING_OPS for op in used
        )
        # True if the values of floating-point inputs matter, too.
        self._sizes_from_values = bool(used & _OPS_SIZED_BY_VALUES) and any(
            node.op in _INTEGER_OPS and _from_float(node) for node in nodes
        )
        self._known: set[object] = set()

    def key(self, feeds: Mapping[str, Array], fetches: Sequence[str]) -> object | None:
        """Return the key of a run in the record; None if it is never quick."""
        if self._never or sum(map(tensors.nbytes, feeds.values())) >= SMALL:
            return None
        return (tuple(fetches), *((name, self._shape(array)) for name, array in feeds.items()))

    def has(self, key: object | None) -> bool:
        """Return True if a run is known to be quick."""
        return key in self._known

    def note(self, key: object | None, seconds: float, outputs: Sequence[Array]) -> None:
        """Record the duration and the outputs of a run."""
        if key is None:
            return
        limit = SLOW_SECONDS if key in self._known else QUICK_SECONDS
        if seconds > limit or sum(map(tensors.nbytes, outputs)) >= SMALL:
            self._known.discard(key)
            return
        if len(self._known) >= MAX_KNOWN:
            self._known.clear()  # frequent runs are soon known again
        self._known.add(key)

    def _shape(self, array: Array) -> object:
        if array.dtype.kind in _FLOATS and not self._sizes_from_values:
            return array.dtype.num, array.shape
        # Python's hash has a key that no client knows.
        values = tuple(array.flat) if array.dtype.kind == "O" else array.tobytes()
        return array.dtype.num, array.shape, hash(values)


def _from_float(node: wire.NodeDef) -> bool:
    """Return True if an operation makes integers of something else."""
    if node.op != "Cast":
        return True
    return node.attr["SrcT"].type in _FLOAT_TYPES and node.attr["DstT"].type not in _FLOAT_TYPES
