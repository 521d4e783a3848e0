"""Types of the messages, which are made from descriptors at run time.

A field whose message has no name here is a `Message`. `tests/serving/message_stubs.py` writes what
follows the comment "Messages".
"""

from collections.abc import (
    Iterable,
    Iterator,
    Mapping,
    MutableMapping,
    MutableSequence,
    Sequence,
)
from typing import Any, Self, TypeVar, overload

_K = TypeVar("_K")
_V = TypeVar("_V")
_M = TypeVar("_M", bound=Message)

class Message:
    DESCRIPTOR: Any
    @classmethod
    def FromString(cls, data: bytes) -> Self: ...
    def ParseFromString(self, data: bytes) -> int: ...
    def MergeFromString(self, data: bytes) -> int: ...
    def SerializeToString(self, *, deterministic: bool = ...) -> bytes: ...
    def SerializePartialToString(self, *, deterministic: bool = ...) -> bytes: ...
    def ByteSize(self) -> int: ...
    def CopyFrom(self, other: Self) -> None: ...
    def MergeFrom(self, other: Self) -> None: ...
    def SetInParent(self) -> None: ...
    def Clear(self) -> None: ...
    def ClearField(self, name: str) -> None: ...
    def HasField(self, name: str) -> bool: ...
    def WhichOneof(self, name: str) -> str | None: ...
    def ListFields(self) -> list[tuple[Any, Any]]: ...
    def IsInitialized(self) -> bool: ...

class _Repeated(MutableSequence[_V]):
    @overload
    def __getitem__(self, index: int) -> _V: ...
    @overload
    def __getitem__(self, index: slice) -> list[_V]: ...
    def __setitem__(self, index: int | slice, value: Any) -> None: ...
    def __delitem__(self, index: int | slice) -> None: ...
    def __len__(self) -> int: ...
    def insert(self, index: int, value: _V) -> None: ...
    def MergeFrom(self, other: Iterable[_V]) -> None: ...

class _RepeatedMessage(Sequence[_M]):
    @overload
    def __getitem__(self, index: int) -> _M: ...
    @overload
    def __getitem__(self, index: slice) -> list[_M]: ...
    def __len__(self) -> int: ...
    def add(self, **fields: Any) -> _M: ...
    def append(self, value: _M) -> None: ...
    def extend(self, values: Iterable[_M]) -> None: ...
    def pop(self, index: int = ...) -> _M: ...
    def MergeFrom(self, other: Iterable[_M]) -> None: ...
    def __delitem__(self, index: int | slice) -> None: ...

class _MessageMap(Mapping[_K, _M]):
    """A look-up adds what is missing."""

    def __getitem__(self, key: _K) -> _M: ...
    def __iter__(self) -> Iterator[_K]: ...
    def __len__(self) -> int: ...
    def MergeFrom(self, other: Mapping[_K, _M]) -> None: ...
    def __delitem__(self, key: _K) -> None: ...

class _Enum:
    def Name(self, number: int) -> str: ...
    def Value(self, name: str) -> int: ...
    def items(self) -> list[tuple[str, int]]: ...

class _Any(Message):
    type_url: str
    value: bytes
    def Is(self, descriptor: Any) -> bool: ...
    def Pack(self, message: Message) -> None: ...
    def Unpack(self, message: Message) -> bool: ...

POOL: Any
DataType: Any

def message(name: str) -> Any: ...

# Messages
class Int64Value(Message):
    value: int
    def __init__(self, *, value: int | None = ...) -> None: ...

class AttrValue(Message):
    class ListValue(Message):
        @property
        def s(self) -> _Repeated[bytes]: ...
        @property
        def i(self) -> _Repeated[int]: ...
        @property
        def f(self) -> _Repeated[float]: ...
        @property
        def b(self) -> _Repeated[bool]: ...
        @property
        def type(self) -> _Repeated[int]: ...
        @property
        def shape(self) -> _RepeatedMessage[TensorShapeProto]: ...
        @property
        def tensor(self) -> _RepeatedMessage[TensorProto]: ...
        @property
        def func(self) -> _RepeatedMessage[NameAttrList]: ...
        def __init__(
            self,
            *,
            s: Iterable[bytes] | None = ...,
            i: Iterable[int] | None = ...,
            f: Iterable[float] | None = ...,
            b: Iterable[bool] | None = ...,
            type: Iterable[int] | None = ...,
            shape: Iterable[TensorShapeProto] | None = ...,
            tensor: Iterable[TensorProto] | None = ...,
            func: Iterable[NameAttrList] | None = ...,
        ) -> None: ...

    s: bytes
    i: int
    f: float
    b: bool
    type: int
    @property
    def shape(self) -> TensorShapeProto: ...
    @property
    def tensor(self) -> TensorProto: ...
    @property
    def list(self) -> AttrValue.ListValue: ...
    @property
    def func(self) -> NameAttrList: ...
    placeholder: str
    def __init__(
        self,
        *,
        s: bytes | None = ...,
        i: int | None = ...,
        f: float | None = ...,
        b: bool | None = ...,
        type: int | None = ...,
        shape: TensorShapeProto | None = ...,
        tensor: TensorProto | None = ...,
        list: AttrValue.ListValue | None = ...,
        func: NameAttrList | None = ...,
        placeholder: str | None = ...,
    ) -> None: ...

class BytesList(Message):
    @property
    def value(self) -> _Repeated[bytes]: ...
    def __init__(self, *, value: Iterable[bytes] | None = ...) -> None: ...

class ConfigProto(Message):
    class Experimental(Message):
        MlirBridgeRollout: _Enum
        MLIR_BRIDGE_ROLLOUT_UNSPECIFIED: int
        MLIR_BRIDGE_ROLLOUT_ENABLED: int
        MLIR_BRIDGE_ROLLOUT_DISABLED: int
        collective_group_leader: str
        executor_type: str
        recv_buf_max_chunk: int
        use_numa_affinity: bool
        collective_deterministic_sequential_execution: bool
        collective_nccl: bool
        share_session_state_in_clusterspec_propagation: bool
        disable_thread_spinning: bool
        share_cluster_devices_in_session: bool
        @property
        def session_metadata(self) -> Message: ...
        optimize_for_static_graph: bool
        enable_mlir_bridge: bool
        mlir_bridge_rollout: int
        enable_mlir_graph_optimization: bool
        disable_output_partition_graphs: bool
        xla_fusion_autotuner_thresh: int
        use_tfrt: bool
        enable_multi_host: bool
        tfrt_use_ifrt: bool
        backend_server_port: int
        target_tpu: bool
        target_gpu: bool
        stream_merge_threshold: int
        disable_functional_ops_lowering: bool
        xla_prefer_single_graph_cluster: bool
        @property
        def coordination_config(self) -> Message: ...
        disable_optimize_for_static_graph: bool
        disable_eager_executor_streaming_enqueue: bool
        finalize_function_library_runtime: bool
        finalize_resource_manager: bool
        tf2xla_dump_dir: str
        online_cost_analysis: bool
        def __init__(
            self,
            *,
            collective_group_leader: str | None = ...,
            executor_type: str | None = ...,
            recv_buf_max_chunk: int | None = ...,
            use_numa_affinity: bool | None = ...,
            collective_deterministic_sequential_execution: bool | None = ...,
            collective_nccl: bool | None = ...,
            share_session_state_in_clusterspec_propagation: bool | None = ...,
            disable_thread_spinning: bool | None = ...,
            share_cluster_devices_in_session: bool | None = ...,
            session_metadata: Message | None = ...,
            optimize_for_static_graph: bool | None = ...,
            enable_mlir_bridge: bool | None = ...,
            mlir_bridge_rollout: int | None = ...,
            enable_mlir_graph_optimization: bool | None = ...,
            disable_output_partition_graphs: bool | None = ...,
            xla_fusion_autotuner_thresh: int | None = ...,
            use_tfrt: bool | None = ...,
            enable_multi_host: bool | None = ...,
            tfrt_use_ifrt: bool | None = ...,
            backend_server_port: int | None = ...,
            target_tpu: bool | None = ...,
            target_gpu: bool | None = ...,
            stream_merge_threshold: int | None = ...,
            disable_functional_ops_lowering: bool | None = ...,
            xla_prefer_single_graph_cluster: bool | None = ...,
            coordination_config: Message | None = ...,
            disable_optimize_for_static_graph: bool | None = ...,
            disable_eager_executor_streaming_enqueue: bool | None = ...,
            finalize_function_library_runtime: bool | None = ...,
            finalize_resource_manager: bool | None = ...,
            tf2xla_dump_dir: str | None = ...,
            online_cost_analysis: bool | None = ...,
        ) -> None: ...

    @property
    def device_count(self) -> MutableMapping[str, int]: ...
    intra_op_parallelism_threads: int
    inter_op_parallelism_threads: int
    use_per_session_threads: bool
    @property
    def session_inter_op_thread_pool(self) -> _RepeatedMessage[Message]: ...
    placement_period: int
    @property
    def device_filters(self) -> _Repeated[str]: ...
    @property
    def gpu_options(self) -> GPUOptions: ...
    @property
    def pluggable_device_options(self) -> GPUOptions: ...
    allow_soft_placement: bool
    log_device_placement: bool
    @property
    def graph_options(self) -> GraphOptions: ...
    operation_timeout_in_ms: int
    @property
    def rpc_options(self) -> Message: ...
    @property
    def cluster_def(self) -> Message: ...
    isolate_session_state: bool
    share_cluster_devices_in_session: bool
    @property
    def experimental(self) -> ConfigProto.Experimental: ...
    def __init__(
        self,
        *,
        device_count: Mapping[str, int] | None = ...,
        intra_op_parallelism_threads: int | None = ...,
        inter_op_parallelism_threads: int | None = ...,
        use_per_session_threads: bool | None = ...,
        session_inter_op_thread_pool: Iterable[Message] | None = ...,
        placement_period: int | None = ...,
        device_filters: Iterable[str] | None = ...,
        gpu_options: GPUOptions | None = ...,
        pluggable_device_options: GPUOptions | None = ...,
        allow_soft_placement: bool | None = ...,
        log_device_placement: bool | None = ...,
        graph_options: GraphOptions | None = ...,
        operation_timeout_in_ms: int | None = ...,
        rpc_options: Message | None = ...,
        cluster_def: Message | None = ...,
        isolate_session_state: bool | None = ...,
        share_cluster_devices_in_session: bool | None = ...,
        experimental: ConfigProto.Experimental | None = ...,
    ) -> None: ...

class Example(Message):
    @property
    def features(self) -> Features: ...
    def __init__(self, *, features: Features | None = ...) -> None: ...

class Feature(Message):
    @property
    def bytes_list(self) -> BytesList: ...
    @property
    def float_list(self) -> FloatList: ...
    @property
    def int64_list(self) -> Int64List: ...
    def __init__(
        self,
        *,
        bytes_list: BytesList | None = ...,
        float_list: FloatList | None = ...,
        int64_list: Int64List | None = ...,
    ) -> None: ...

class Features(Message):
    @property
    def feature(self) -> _MessageMap[str, Feature]: ...
    def __init__(self, *, feature: Mapping[str, Feature] | None = ...) -> None: ...

class FloatList(Message):
    @property
    def value(self) -> _Repeated[float]: ...
    def __init__(self, *, value: Iterable[float] | None = ...) -> None: ...

class FunctionDef(Message):
    class ArgAttrs(Message):
        @property
        def attr(self) -> _MessageMap[str, AttrValue]: ...
        def __init__(self, *, attr: Mapping[str, AttrValue] | None = ...) -> None: ...

    @property
    def signature(self) -> OpDef: ...
    @property
    def attr(self) -> _MessageMap[str, AttrValue]: ...
    @property
    def arg_attr(self) -> _MessageMap[int, FunctionDef.ArgAttrs]: ...
    @property
    def resource_arg_unique_id(self) -> MutableMapping[int, int]: ...
    @property
    def node_def(self) -> _RepeatedMessage[NodeDef]: ...
    @property
    def ret(self) -> MutableMapping[str, str]: ...
    @property
    def control_ret(self) -> MutableMapping[str, str]: ...
    def __init__(
        self,
        *,
        signature: OpDef | None = ...,
        attr: Mapping[str, AttrValue] | None = ...,
        arg_attr: Mapping[int, FunctionDef.ArgAttrs] | None = ...,
        resource_arg_unique_id: Mapping[int, int] | None = ...,
        node_def: Iterable[NodeDef] | None = ...,
        ret: Mapping[str, str] | None = ...,
        control_ret: Mapping[str, str] | None = ...,
    ) -> None: ...

class FunctionDefLibrary(Message):
    @property
    def function(self) -> _RepeatedMessage[FunctionDef]: ...
    @property
    def gradient(self) -> _RepeatedMessage[Message]: ...
    @property
    def registered_gradients(self) -> _RepeatedMessage[Message]: ...
    def __init__(
        self,
        *,
        function: Iterable[FunctionDef] | None = ...,
        gradient: Iterable[Message] | None = ...,
        registered_gradients: Iterable[Message] | None = ...,
    ) -> None: ...

class GPUOptions(Message):
    class Experimental(Message):
        class VirtualDevices(Message):
            @property
            def memory_limit_mb(self) -> _Repeated[float]: ...
            @property
            def priority(self) -> _Repeated[int]: ...
            @property
            def device_ordinal(self) -> _Repeated[int]: ...
            def __init__(
                self,
                *,
                memory_limit_mb: Iterable[float] | None = ...,
                priority: Iterable[int] | None = ...,
                device_ordinal: Iterable[int] | None = ...,
            ) -> None: ...

        class StreamMergeOptions(Message):
            merge_host_to_device_stream: bool
            merge_device_to_host_stream: bool
            merge_device_to_device_stream: bool
            def __init__(
                self,
                *,
                merge_host_to_device_stream: bool | None = ...,
                merge_device_to_host_stream: bool | None = ...,
                merge_device_to_device_stream: bool | None = ...,
            ) -> None: ...

        @property
        def virtual_devices(self) -> _RepeatedMessage[GPUOptions.Experimental.VirtualDevices]: ...
        num_virtual_devices_per_gpu: int
        use_unified_memory: bool
        num_dev_to_dev_copy_streams: int
        collective_ring_order: str
        timestamped_allocator: bool
        kernel_tracker_max_interval: int
        kernel_tracker_max_bytes: int
        kernel_tracker_max_pending: int
        internal_fragmentation_fraction: float
        use_cuda_malloc_async: bool
        disallow_retry_on_allocation_failure: bool
        gpu_host_mem_limit_in_mb: float
        gpu_host_mem_disallow_growth: bool
        gpu_system_memory_size_in_mb: int
        populate_pjrt_gpu_client_creation_info: bool
        node_id: int
        @property
        def stream_merge_options(self) -> GPUOptions.Experimental.StreamMergeOptions: ...
        def __init__(
            self,
            *,
            virtual_devices: Iterable[GPUOptions.Experimental.VirtualDevices] | None = ...,
            num_virtual_devices_per_gpu: int | None = ...,
            use_unified_memory: bool | None = ...,
            num_dev_to_dev_copy_streams: int | None = ...,
            collective_ring_order: str | None = ...,
            timestamped_allocator: bool | None = ...,
            kernel_tracker_max_interval: int | None = ...,
            kernel_tracker_max_bytes: int | None = ...,
            kernel_tracker_max_pending: int | None = ...,
            internal_fragmentation_fraction: float | None = ...,
            use_cuda_malloc_async: bool | None = ...,
            disallow_retry_on_allocation_failure: bool | None = ...,
            gpu_host_mem_limit_in_mb: float | None = ...,
            gpu_host_mem_disallow_growth: bool | None = ...,
            gpu_system_memory_size_in_mb: int | None = ...,
            populate_pjrt_gpu_client_creation_info: bool | None = ...,
            node_id: int | None = ...,
            stream_merge_options: GPUOptions.Experimental.StreamMergeOptions | None = ...,
        ) -> None: ...

    per_process_gpu_memory_fraction: float
    allow_growth: bool
    allocator_type: str
    deferred_deletion_bytes: int
    visible_device_list: str
    polling_active_delay_usecs: int
    polling_inactive_delay_msecs: int
    force_gpu_compatible: bool
    @property
    def experimental(self) -> GPUOptions.Experimental: ...
    def __init__(
        self,
        *,
        per_process_gpu_memory_fraction: float | None = ...,
        allow_growth: bool | None = ...,
        allocator_type: str | None = ...,
        deferred_deletion_bytes: int | None = ...,
        visible_device_list: str | None = ...,
        polling_active_delay_usecs: int | None = ...,
        polling_inactive_delay_msecs: int | None = ...,
        force_gpu_compatible: bool | None = ...,
        experimental: GPUOptions.Experimental | None = ...,
    ) -> None: ...

class GraphDef(Message):
    @property
    def node(self) -> _RepeatedMessage[NodeDef]: ...
    @property
    def versions(self) -> Message: ...
    version: int
    @property
    def library(self) -> FunctionDefLibrary: ...
    @property
    def debug_info(self) -> Message: ...
    def __init__(
        self,
        *,
        node: Iterable[NodeDef] | None = ...,
        versions: Message | None = ...,
        version: int | None = ...,
        library: FunctionDefLibrary | None = ...,
        debug_info: Message | None = ...,
    ) -> None: ...

class GraphOptions(Message):
    enable_recv_scheduling: bool
    @property
    def optimizer_options(self) -> Message: ...
    build_cost_model: int
    build_cost_model_after: int
    infer_shapes: bool
    place_pruned_graph: bool
    enable_bfloat16_sendrecv: bool
    timeline_step: int
    @property
    def rewrite_options(self) -> RewriterConfig: ...
    def __init__(
        self,
        *,
        enable_recv_scheduling: bool | None = ...,
        optimizer_options: Message | None = ...,
        build_cost_model: int | None = ...,
        build_cost_model_after: int | None = ...,
        infer_shapes: bool | None = ...,
        place_pruned_graph: bool | None = ...,
        enable_bfloat16_sendrecv: bool | None = ...,
        timeline_step: int | None = ...,
        rewrite_options: RewriterConfig | None = ...,
    ) -> None: ...

class Int64List(Message):
    @property
    def value(self) -> _Repeated[int]: ...
    def __init__(self, *, value: Iterable[int] | None = ...) -> None: ...

class MetaGraphDef(Message):
    class MetaInfoDef(Message):
        meta_graph_version: str
        @property
        def stripped_op_list(self) -> OpList: ...
        @property
        def any_info(self) -> _Any: ...
        @property
        def tags(self) -> _Repeated[str]: ...
        tensorflow_version: str
        tensorflow_git_version: str
        stripped_default_attrs: bool
        @property
        def function_aliases(self) -> MutableMapping[str, str]: ...
        def __init__(
            self,
            *,
            meta_graph_version: str | None = ...,
            stripped_op_list: OpList | None = ...,
            any_info: _Any | None = ...,
            tags: Iterable[str] | None = ...,
            tensorflow_version: str | None = ...,
            tensorflow_git_version: str | None = ...,
            stripped_default_attrs: bool | None = ...,
            function_aliases: Mapping[str, str] | None = ...,
        ) -> None: ...

    @property
    def meta_info_def(self) -> MetaGraphDef.MetaInfoDef: ...
    @property
    def graph_def(self) -> GraphDef: ...
    @property
    def saver_def(self) -> SaverDef: ...
    @property
    def collection_def(self) -> _MessageMap[str, Message]: ...
    @property
    def signature_def(self) -> _MessageMap[str, SignatureDef]: ...
    @property
    def asset_file_def(self) -> _RepeatedMessage[Message]: ...
    @property
    def object_graph_def(self) -> Message: ...
    def __init__(
        self,
        *,
        meta_info_def: MetaGraphDef.MetaInfoDef | None = ...,
        graph_def: GraphDef | None = ...,
        saver_def: SaverDef | None = ...,
        collection_def: Mapping[str, Message] | None = ...,
        signature_def: Mapping[str, SignatureDef] | None = ...,
        asset_file_def: Iterable[Message] | None = ...,
        object_graph_def: Message | None = ...,
    ) -> None: ...

class NameAttrList(Message):
    name: str
    @property
    def attr(self) -> _MessageMap[str, AttrValue]: ...
    def __init__(
        self, *, name: str | None = ..., attr: Mapping[str, AttrValue] | None = ...
    ) -> None: ...

class NodeDef(Message):
    class ExperimentalDebugInfo(Message):
        @property
        def original_node_names(self) -> _Repeated[str]: ...
        @property
        def original_func_names(self) -> _Repeated[str]: ...
        def __init__(
            self,
            *,
            original_node_names: Iterable[str] | None = ...,
            original_func_names: Iterable[str] | None = ...,
        ) -> None: ...

    name: str
    op: str
    @property
    def input(self) -> _Repeated[str]: ...
    device: str
    @property
    def attr(self) -> _MessageMap[str, AttrValue]: ...
    @property
    def experimental_debug_info(self) -> NodeDef.ExperimentalDebugInfo: ...
    @property
    def experimental_type(self) -> Message: ...
    def __init__(
        self,
        *,
        name: str | None = ...,
        op: str | None = ...,
        input: Iterable[str] | None = ...,
        device: str | None = ...,
        attr: Mapping[str, AttrValue] | None = ...,
        experimental_debug_info: NodeDef.ExperimentalDebugInfo | None = ...,
        experimental_type: Message | None = ...,
    ) -> None: ...

class OpDef(Message):
    class ArgDef(Message):
        name: str
        description: str
        type: int
        type_attr: str
        number_attr: str
        type_list_attr: str
        @property
        def handle_data(self) -> _RepeatedMessage[Message]: ...
        is_ref: bool
        @property
        def experimental_full_type(self) -> Message: ...
        def __init__(
            self,
            *,
            name: str | None = ...,
            description: str | None = ...,
            type: int | None = ...,
            type_attr: str | None = ...,
            number_attr: str | None = ...,
            type_list_attr: str | None = ...,
            handle_data: Iterable[Message] | None = ...,
            is_ref: bool | None = ...,
            experimental_full_type: Message | None = ...,
        ) -> None: ...

    class AttrDef(Message):
        name: str
        type: str
        @property
        def default_value(self) -> AttrValue: ...
        description: str
        has_minimum: bool
        minimum: int
        @property
        def allowed_values(self) -> AttrValue: ...
        def __init__(
            self,
            *,
            name: str | None = ...,
            type: str | None = ...,
            default_value: AttrValue | None = ...,
            description: str | None = ...,
            has_minimum: bool | None = ...,
            minimum: int | None = ...,
            allowed_values: AttrValue | None = ...,
        ) -> None: ...

    name: str
    @property
    def input_arg(self) -> _RepeatedMessage[OpDef.ArgDef]: ...
    @property
    def output_arg(self) -> _RepeatedMessage[OpDef.ArgDef]: ...
    @property
    def control_output(self) -> _Repeated[str]: ...
    @property
    def attr(self) -> _RepeatedMessage[OpDef.AttrDef]: ...
    @property
    def deprecation(self) -> Message: ...
    summary: str
    description: str
    is_commutative: bool
    is_aggregate: bool
    is_stateful: bool
    allows_uninitialized_input: bool
    is_distributed_communication: bool
    def __init__(
        self,
        *,
        name: str | None = ...,
        input_arg: Iterable[OpDef.ArgDef] | None = ...,
        output_arg: Iterable[OpDef.ArgDef] | None = ...,
        control_output: Iterable[str] | None = ...,
        attr: Iterable[OpDef.AttrDef] | None = ...,
        deprecation: Message | None = ...,
        summary: str | None = ...,
        description: str | None = ...,
        is_commutative: bool | None = ...,
        is_aggregate: bool | None = ...,
        is_stateful: bool | None = ...,
        allows_uninitialized_input: bool | None = ...,
        is_distributed_communication: bool | None = ...,
    ) -> None: ...

class OpList(Message):
    @property
    def op(self) -> _RepeatedMessage[OpDef]: ...
    def __init__(self, *, op: Iterable[OpDef] | None = ...) -> None: ...

class RewriterConfig(Message):
    Toggle: _Enum
    DEFAULT: int
    ON: int
    OFF: int
    AGGRESSIVE: int
    EXPERIMENTAL_MLIR: int
    EXPERIMENTAL_BOTH: int
    CpuLayout: _Enum
    NO_CONVERSION_ON_CPU: int
    NCHW_TO_NHWC: int
    NHWC_TO_NCHW: int
    NumIterationsType: _Enum
    DEFAULT_NUM_ITERS: int
    ONE: int
    TWO: int
    MemOptType: _Enum
    DEFAULT_MEM_OPT: int
    NO_MEM_OPT: int
    MANUAL: int
    SWAPPING_HEURISTICS: int
    RECOMPUTATION_HEURISTICS: int
    SCHEDULING_HEURISTICS: int
    HEURISTICS: int
    class CustomGraphOptimizer(Message):
        name: str
        @property
        def parameter_map(self) -> _MessageMap[str, AttrValue]: ...
        def __init__(
            self, *, name: str | None = ..., parameter_map: Mapping[str, AttrValue] | None = ...
        ) -> None: ...

    cpu_layout_conversion: int
    layout_optimizer: int
    constant_folding: int
    shape_optimization: int
    remapping: int
    common_subgraph_elimination: int
    arithmetic_optimization: int
    dependency_optimization: int
    loop_optimization: int
    function_optimization: int
    debug_stripper: int
    disable_model_pruning: bool
    scoped_allocator_optimization: int
    pin_to_host_optimization: int
    implementation_selector: int
    auto_mixed_precision: int
    auto_mixed_precision_mkl: int
    auto_mixed_precision_onednn_bfloat16: int
    auto_mixed_precision_cpu: int
    disable_meta_optimizer: bool
    disable_tfg_optimizer: bool
    use_plugin_optimizers: int
    experimental_conditional_code_motion: int
    meta_optimizer_iterations: int
    min_graph_nodes: int
    experimental_disable_compressed_tensor_optimization: bool
    experimental_disable_folding_quantization_emulation: bool
    memory_optimization: int
    memory_optimizer_target_node_name_scope: str
    meta_optimizer_timeout_ms: int
    @property
    def auto_parallel(self) -> Message: ...
    fail_on_optimizer_errors: bool
    @property
    def scoped_allocator_opts(self) -> Message: ...
    @property
    def optimizers(self) -> _Repeated[str]: ...
    @property
    def custom_optimizers(self) -> _RepeatedMessage[RewriterConfig.CustomGraphOptimizer]: ...
    @property
    def inter_optimizer_verifier_config(self) -> Message: ...
    @property
    def post_optimization_verifier_config(self) -> Message: ...
    def __init__(
        self,
        *,
        cpu_layout_conversion: int | None = ...,
        layout_optimizer: int | None = ...,
        constant_folding: int | None = ...,
        shape_optimization: int | None = ...,
        remapping: int | None = ...,
        common_subgraph_elimination: int | None = ...,
        arithmetic_optimization: int | None = ...,
        dependency_optimization: int | None = ...,
        loop_optimization: int | None = ...,
        function_optimization: int | None = ...,
        debug_stripper: int | None = ...,
        disable_model_pruning: bool | None = ...,
        scoped_allocator_optimization: int | None = ...,
        pin_to_host_optimization: int | None = ...,
        implementation_selector: int | None = ...,
        auto_mixed_precision: int | None = ...,
        auto_mixed_precision_mkl: int | None = ...,
        auto_mixed_precision_onednn_bfloat16: int | None = ...,
        auto_mixed_precision_cpu: int | None = ...,
        disable_meta_optimizer: bool | None = ...,
        disable_tfg_optimizer: bool | None = ...,
        use_plugin_optimizers: int | None = ...,
        experimental_conditional_code_motion: int | None = ...,
        meta_optimizer_iterations: int | None = ...,
        min_graph_nodes: int | None = ...,
        experimental_disable_compressed_tensor_optimization: bool | None = ...,
        experimental_disable_folding_quantization_emulation: bool | None = ...,
        memory_optimization: int | None = ...,
        memory_optimizer_target_node_name_scope: str | None = ...,
        meta_optimizer_timeout_ms: int | None = ...,
        auto_parallel: Message | None = ...,
        fail_on_optimizer_errors: bool | None = ...,
        scoped_allocator_opts: Message | None = ...,
        optimizers: Iterable[str] | None = ...,
        custom_optimizers: Iterable[RewriterConfig.CustomGraphOptimizer] | None = ...,
        inter_optimizer_verifier_config: Message | None = ...,
        post_optimization_verifier_config: Message | None = ...,
    ) -> None: ...

class RunOptions(Message):
    TraceLevel: _Enum
    NO_TRACE: int
    SOFTWARE_TRACE: int
    HARDWARE_TRACE: int
    FULL_TRACE: int
    class Experimental(Message):
        class RunHandlerPoolOptions(Message):
            priority: int
            def __init__(self, *, priority: int | None = ...) -> None: ...

        collective_graph_key: int
        use_run_handler_pool: bool
        @property
        def run_handler_pool_options(self) -> RunOptions.Experimental.RunHandlerPoolOptions: ...
        def __init__(
            self,
            *,
            collective_graph_key: int | None = ...,
            use_run_handler_pool: bool | None = ...,
            run_handler_pool_options: RunOptions.Experimental.RunHandlerPoolOptions | None = ...,
        ) -> None: ...

    trace_level: int
    timeout_in_ms: int
    inter_op_thread_pool: int
    output_partition_graphs: bool
    @property
    def debug_options(self) -> Message: ...
    report_tensor_allocations_upon_oom: bool
    @property
    def experimental(self) -> RunOptions.Experimental: ...
    def __init__(
        self,
        *,
        trace_level: int | None = ...,
        timeout_in_ms: int | None = ...,
        inter_op_thread_pool: int | None = ...,
        output_partition_graphs: bool | None = ...,
        debug_options: Message | None = ...,
        report_tensor_allocations_upon_oom: bool | None = ...,
        experimental: RunOptions.Experimental | None = ...,
    ) -> None: ...

class SaverDef(Message):
    CheckpointFormatVersion: _Enum
    LEGACY: int
    V1: int
    V2: int
    filename_tensor_name: str
    save_tensor_name: str
    restore_op_name: str
    max_to_keep: int
    sharded: bool
    keep_checkpoint_every_n_hours: float
    version: int
    def __init__(
        self,
        *,
        filename_tensor_name: str | None = ...,
        save_tensor_name: str | None = ...,
        restore_op_name: str | None = ...,
        max_to_keep: int | None = ...,
        sharded: bool | None = ...,
        keep_checkpoint_every_n_hours: float | None = ...,
        version: int | None = ...,
    ) -> None: ...

class SignatureDef(Message):
    @property
    def inputs(self) -> _MessageMap[str, TensorInfo]: ...
    @property
    def outputs(self) -> _MessageMap[str, TensorInfo]: ...
    method_name: str
    @property
    def defaults(self) -> _MessageMap[str, TensorProto]: ...
    def __init__(
        self,
        *,
        inputs: Mapping[str, TensorInfo] | None = ...,
        outputs: Mapping[str, TensorInfo] | None = ...,
        method_name: str | None = ...,
        defaults: Mapping[str, TensorProto] | None = ...,
    ) -> None: ...

class TensorInfo(Message):
    class CooSparse(Message):
        values_tensor_name: str
        indices_tensor_name: str
        dense_shape_tensor_name: str
        def __init__(
            self,
            *,
            values_tensor_name: str | None = ...,
            indices_tensor_name: str | None = ...,
            dense_shape_tensor_name: str | None = ...,
        ) -> None: ...

    class CompositeTensor(Message):
        @property
        def type_spec(self) -> Message: ...
        @property
        def components(self) -> _RepeatedMessage[TensorInfo]: ...
        def __init__(
            self, *, type_spec: Message | None = ..., components: Iterable[TensorInfo] | None = ...
        ) -> None: ...

    name: str
    @property
    def coo_sparse(self) -> TensorInfo.CooSparse: ...
    @property
    def composite_tensor(self) -> TensorInfo.CompositeTensor: ...
    dtype: int
    @property
    def tensor_shape(self) -> TensorShapeProto: ...
    def __init__(
        self,
        *,
        name: str | None = ...,
        coo_sparse: TensorInfo.CooSparse | None = ...,
        composite_tensor: TensorInfo.CompositeTensor | None = ...,
        dtype: int | None = ...,
        tensor_shape: TensorShapeProto | None = ...,
    ) -> None: ...

class TensorProto(Message):
    dtype: int
    @property
    def tensor_shape(self) -> TensorShapeProto: ...
    version_number: int
    tensor_content: bytes
    @property
    def half_val(self) -> _Repeated[int]: ...
    @property
    def float_val(self) -> _Repeated[float]: ...
    @property
    def double_val(self) -> _Repeated[float]: ...
    @property
    def int_val(self) -> _Repeated[int]: ...
    @property
    def string_val(self) -> _Repeated[bytes]: ...
    @property
    def scomplex_val(self) -> _Repeated[float]: ...
    @property
    def int64_val(self) -> _Repeated[int]: ...
    @property
    def bool_val(self) -> _Repeated[bool]: ...
    @property
    def dcomplex_val(self) -> _Repeated[float]: ...
    @property
    def resource_handle_val(self) -> _RepeatedMessage[Message]: ...
    @property
    def variant_val(self) -> _RepeatedMessage[Message]: ...
    @property
    def uint32_val(self) -> _Repeated[int]: ...
    @property
    def uint64_val(self) -> _Repeated[int]: ...
    float8_val: bytes
    def __init__(
        self,
        *,
        dtype: int | None = ...,
        tensor_shape: TensorShapeProto | None = ...,
        version_number: int | None = ...,
        tensor_content: bytes | None = ...,
        half_val: Iterable[int] | None = ...,
        float_val: Iterable[float] | None = ...,
        double_val: Iterable[float] | None = ...,
        int_val: Iterable[int] | None = ...,
        string_val: Iterable[bytes] | None = ...,
        scomplex_val: Iterable[float] | None = ...,
        int64_val: Iterable[int] | None = ...,
        bool_val: Iterable[bool] | None = ...,
        dcomplex_val: Iterable[float] | None = ...,
        resource_handle_val: Iterable[Message] | None = ...,
        variant_val: Iterable[Message] | None = ...,
        uint32_val: Iterable[int] | None = ...,
        uint64_val: Iterable[int] | None = ...,
        float8_val: bytes | None = ...,
    ) -> None: ...

class TensorShapeProto(Message):
    class Dim(Message):
        size: int
        name: str
        def __init__(self, *, size: int | None = ..., name: str | None = ...) -> None: ...

    @property
    def dim(self) -> _RepeatedMessage[TensorShapeProto.Dim]: ...
    unknown_rank: bool
    def __init__(
        self, *, dim: Iterable[TensorShapeProto.Dim] | None = ..., unknown_rank: bool | None = ...
    ) -> None: ...

class Class(Message):
    label: str
    score: float
    def __init__(self, *, label: str | None = ..., score: float | None = ...) -> None: ...

class ClassificationRequest(Message):
    @property
    def model_spec(self) -> ModelSpec: ...
    @property
    def input(self) -> Input: ...
    def __init__(
        self, *, model_spec: ModelSpec | None = ..., input: Input | None = ...
    ) -> None: ...

class ClassificationResponse(Message):
    @property
    def model_spec(self) -> ModelSpec: ...
    @property
    def result(self) -> ClassificationResult: ...
    def __init__(
        self, *, model_spec: ModelSpec | None = ..., result: ClassificationResult | None = ...
    ) -> None: ...

class ClassificationResult(Message):
    @property
    def classifications(self) -> _RepeatedMessage[Classifications]: ...
    def __init__(self, *, classifications: Iterable[Classifications] | None = ...) -> None: ...

class Classifications(Message):
    @property
    def classes(self) -> _RepeatedMessage[Class]: ...
    def __init__(self, *, classes: Iterable[Class] | None = ...) -> None: ...

class ClassifyLog(Message):
    @property
    def request(self) -> ClassificationRequest: ...
    @property
    def response(self) -> ClassificationResponse: ...
    def __init__(
        self,
        *,
        request: ClassificationRequest | None = ...,
        response: ClassificationResponse | None = ...,
    ) -> None: ...

class ExampleList(Message):
    @property
    def examples(self) -> _RepeatedMessage[Example]: ...
    def __init__(self, *, examples: Iterable[Example] | None = ...) -> None: ...

class ExampleListWithContext(Message):
    @property
    def examples(self) -> _RepeatedMessage[Example]: ...
    @property
    def context(self) -> Example: ...
    def __init__(
        self, *, examples: Iterable[Example] | None = ..., context: Example | None = ...
    ) -> None: ...

class GetModelMetadataRequest(Message):
    @property
    def model_spec(self) -> ModelSpec: ...
    @property
    def metadata_field(self) -> _Repeated[str]: ...
    def __init__(
        self, *, model_spec: ModelSpec | None = ..., metadata_field: Iterable[str] | None = ...
    ) -> None: ...

class GetModelMetadataResponse(Message):
    @property
    def model_spec(self) -> ModelSpec: ...
    @property
    def metadata(self) -> _MessageMap[str, _Any]: ...
    def __init__(
        self, *, model_spec: ModelSpec | None = ..., metadata: Mapping[str, _Any] | None = ...
    ) -> None: ...

class GetModelStatusRequest(Message):
    @property
    def model_spec(self) -> ModelSpec: ...
    def __init__(self, *, model_spec: ModelSpec | None = ...) -> None: ...

class GetModelStatusResponse(Message):
    @property
    def model_version_status(self) -> _RepeatedMessage[ModelVersionStatus]: ...
    def __init__(
        self, *, model_version_status: Iterable[ModelVersionStatus] | None = ...
    ) -> None: ...

class InferenceResult(Message):
    @property
    def model_spec(self) -> ModelSpec: ...
    @property
    def classification_result(self) -> ClassificationResult: ...
    @property
    def regression_result(self) -> RegressionResult: ...
    def __init__(
        self,
        *,
        model_spec: ModelSpec | None = ...,
        classification_result: ClassificationResult | None = ...,
        regression_result: RegressionResult | None = ...,
    ) -> None: ...

class InferenceTask(Message):
    @property
    def model_spec(self) -> ModelSpec: ...
    method_name: str
    def __init__(
        self, *, model_spec: ModelSpec | None = ..., method_name: str | None = ...
    ) -> None: ...

class Input(Message):
    @property
    def example_list(self) -> ExampleList: ...
    @property
    def example_list_with_context(self) -> ExampleListWithContext: ...
    def __init__(
        self,
        *,
        example_list: ExampleList | None = ...,
        example_list_with_context: ExampleListWithContext | None = ...,
    ) -> None: ...

class ModelConfig(Message):
    name: str
    base_path: str
    model_type: int
    model_platform: str
    @property
    def model_version_policy(self) -> ServableVersionPolicy: ...
    @property
    def version_labels(self) -> MutableMapping[str, int]: ...
    @property
    def logging_config(self) -> Message: ...
    def __init__(
        self,
        *,
        name: str | None = ...,
        base_path: str | None = ...,
        model_type: int | None = ...,
        model_platform: str | None = ...,
        model_version_policy: ServableVersionPolicy | None = ...,
        version_labels: Mapping[str, int] | None = ...,
        logging_config: Message | None = ...,
    ) -> None: ...

class ModelConfigList(Message):
    @property
    def config(self) -> _RepeatedMessage[ModelConfig]: ...
    def __init__(self, *, config: Iterable[ModelConfig] | None = ...) -> None: ...

class ModelServerConfig(Message):
    @property
    def model_config_list(self) -> ModelConfigList: ...
    @property
    def custom_model_config(self) -> _Any: ...
    def __init__(
        self,
        *,
        model_config_list: ModelConfigList | None = ...,
        custom_model_config: _Any | None = ...,
    ) -> None: ...

class ModelSpec(Message):
    name: str
    @property
    def version(self) -> Int64Value: ...
    version_label: str
    signature_name: str
    def __init__(
        self,
        *,
        name: str | None = ...,
        version: Int64Value | None = ...,
        version_label: str | None = ...,
        signature_name: str | None = ...,
    ) -> None: ...

class ModelVersionStatus(Message):
    State: _Enum
    UNKNOWN: int
    START: int
    LOADING: int
    AVAILABLE: int
    UNLOADING: int
    END: int
    version: int
    state: int
    @property
    def status(self) -> StatusProto: ...
    def __init__(
        self,
        *,
        version: int | None = ...,
        state: int | None = ...,
        status: StatusProto | None = ...,
    ) -> None: ...

class MultiInferenceLog(Message):
    @property
    def request(self) -> MultiInferenceRequest: ...
    @property
    def response(self) -> MultiInferenceResponse: ...
    def __init__(
        self,
        *,
        request: MultiInferenceRequest | None = ...,
        response: MultiInferenceResponse | None = ...,
    ) -> None: ...

class MultiInferenceRequest(Message):
    @property
    def tasks(self) -> _RepeatedMessage[InferenceTask]: ...
    @property
    def input(self) -> Input: ...
    def __init__(
        self, *, tasks: Iterable[InferenceTask] | None = ..., input: Input | None = ...
    ) -> None: ...

class MultiInferenceResponse(Message):
    @property
    def results(self) -> _RepeatedMessage[InferenceResult]: ...
    def __init__(self, *, results: Iterable[InferenceResult] | None = ...) -> None: ...

class PredictLog(Message):
    @property
    def request(self) -> PredictRequest: ...
    @property
    def response(self) -> PredictResponse: ...
    def __init__(
        self, *, request: PredictRequest | None = ..., response: PredictResponse | None = ...
    ) -> None: ...

class PredictRequest(Message):
    class RequestOptions(Message):
        DeterministicMode: _Enum
        DETERMINISTIC_MODE_UNSPECIFIED: int
        FIXED_DECODER_SLOT: int
        class Handshake(Message):
            estimated_payload_bytes: int
            def __init__(self, *, estimated_payload_bytes: int | None = ...) -> None: ...

        client_id: bytes
        deterministic_mode: int
        return_additional_arrays_from_prefill: bool
        @property
        def return_stoptokens(self) -> _Repeated[int]: ...
        return_all_stoptokens: bool
        max_cache_length: int
        @property
        def handshake(self) -> PredictRequest.RequestOptions.Handshake: ...
        def __init__(
            self,
            *,
            client_id: bytes | None = ...,
            deterministic_mode: int | None = ...,
            return_additional_arrays_from_prefill: bool | None = ...,
            return_stoptokens: Iterable[int] | None = ...,
            return_all_stoptokens: bool | None = ...,
            max_cache_length: int | None = ...,
            handshake: PredictRequest.RequestOptions.Handshake | None = ...,
        ) -> None: ...

    @property
    def model_spec(self) -> ModelSpec: ...
    @property
    def inputs(self) -> _MessageMap[str, TensorProto]: ...
    @property
    def output_filter(self) -> _Repeated[str]: ...
    @property
    def predict_streamed_options(self) -> Message: ...
    client_id: bytes
    @property
    def request_options(self) -> PredictRequest.RequestOptions: ...
    def __init__(
        self,
        *,
        model_spec: ModelSpec | None = ...,
        inputs: Mapping[str, TensorProto] | None = ...,
        output_filter: Iterable[str] | None = ...,
        predict_streamed_options: Message | None = ...,
        client_id: bytes | None = ...,
        request_options: PredictRequest.RequestOptions | None = ...,
    ) -> None: ...

class PredictResponse(Message):
    @property
    def model_spec(self) -> ModelSpec: ...
    @property
    def outputs(self) -> _MessageMap[str, TensorProto]: ...
    def __init__(
        self, *, model_spec: ModelSpec | None = ..., outputs: Mapping[str, TensorProto] | None = ...
    ) -> None: ...

class PredictionLog(Message):
    @property
    def log_metadata(self) -> Message: ...
    @property
    def classify_log(self) -> ClassifyLog: ...
    @property
    def regress_log(self) -> RegressLog: ...
    @property
    def predict_log(self) -> PredictLog: ...
    @property
    def predict_streamed_log(self) -> Message: ...
    @property
    def multi_inference_log(self) -> MultiInferenceLog: ...
    @property
    def session_run_log(self) -> Message: ...
    def __init__(
        self,
        *,
        log_metadata: Message | None = ...,
        classify_log: ClassifyLog | None = ...,
        regress_log: RegressLog | None = ...,
        predict_log: PredictLog | None = ...,
        predict_streamed_log: Message | None = ...,
        multi_inference_log: MultiInferenceLog | None = ...,
        session_run_log: Message | None = ...,
    ) -> None: ...

class RegressLog(Message):
    @property
    def request(self) -> RegressionRequest: ...
    @property
    def response(self) -> RegressionResponse: ...
    def __init__(
        self, *, request: RegressionRequest | None = ..., response: RegressionResponse | None = ...
    ) -> None: ...

class Regression(Message):
    value: float
    def __init__(self, *, value: float | None = ...) -> None: ...

class RegressionRequest(Message):
    @property
    def model_spec(self) -> ModelSpec: ...
    @property
    def input(self) -> Input: ...
    def __init__(
        self, *, model_spec: ModelSpec | None = ..., input: Input | None = ...
    ) -> None: ...

class RegressionResponse(Message):
    @property
    def model_spec(self) -> ModelSpec: ...
    @property
    def result(self) -> RegressionResult: ...
    def __init__(
        self, *, model_spec: ModelSpec | None = ..., result: RegressionResult | None = ...
    ) -> None: ...

class RegressionResult(Message):
    @property
    def regressions(self) -> _RepeatedMessage[Regression]: ...
    def __init__(self, *, regressions: Iterable[Regression] | None = ...) -> None: ...

class ReloadConfigRequest(Message):
    @property
    def config(self) -> ModelServerConfig: ...
    @property
    def metric_names(self) -> _Repeated[str]: ...
    def __init__(
        self, *, config: ModelServerConfig | None = ..., metric_names: Iterable[str] | None = ...
    ) -> None: ...

class ReloadConfigResponse(Message):
    @property
    def status(self) -> StatusProto: ...
    @property
    def metric(self) -> _RepeatedMessage[Message]: ...
    def __init__(
        self, *, status: StatusProto | None = ..., metric: Iterable[Message] | None = ...
    ) -> None: ...

class SignatureDefMap(Message):
    @property
    def signature_def(self) -> _MessageMap[str, SignatureDef]: ...
    def __init__(self, *, signature_def: Mapping[str, SignatureDef] | None = ...) -> None: ...

class StatusProto(Message):
    error_code: int
    error_message: str
    def __init__(
        self, *, error_code: int | None = ..., error_message: str | None = ...
    ) -> None: ...

class ServableVersionPolicy(Message):
    class Latest(Message):
        num_versions: int
        def __init__(self, *, num_versions: int | None = ...) -> None: ...

    class All(Message):
        def __init__(self) -> None: ...

    class Specific(Message):
        @property
        def versions(self) -> _Repeated[int]: ...
        def __init__(self, *, versions: Iterable[int] | None = ...) -> None: ...

    @property
    def latest(self) -> ServableVersionPolicy.Latest: ...
    @property
    def all(self) -> ServableVersionPolicy.All: ...
    @property
    def specific(self) -> ServableVersionPolicy.Specific: ...
    def __init__(
        self,
        *,
        latest: ServableVersionPolicy.Latest | None = ...,
        all: ServableVersionPolicy.All | None = ...,
        specific: ServableVersionPolicy.Specific | None = ...,
    ) -> None: ...

PREDICTION_SERVICE: str
MODEL_SERVICE: str
PREDICT: str
CLASSIFY: str
REGRESS: str
MULTI_INFERENCE: str
GET_MODEL_METADATA: str
GET_MODEL_STATUS: str
HANDLE_RELOAD_CONFIG: str
DEFAULT_SIGNATURE: str
MAX_MESSAGE_BYTES: int
NO_RETRY: tuple[str, str]
CHANNEL_SIZE_OPTIONS: tuple[tuple[str, int], tuple[str, int]]
