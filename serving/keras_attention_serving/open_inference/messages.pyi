"""Types of the messages, which are made from descriptors at run time.

`tests/serving/message_stubs.py` writes what follows the comment "Messages".
"""

from collections.abc import Iterable, Mapping

from keras_attention_serving.protocol.wire import (
    Message,
    _MessageMap,
    _Repeated,
    _RepeatedMessage,
)

# Messages
class ServerLiveRequest(Message):
    def __init__(self) -> None: ...

class ServerLiveResponse(Message):
    live: bool
    def __init__(self, *, live: bool | None = ...) -> None: ...

class ServerReadyRequest(Message):
    def __init__(self) -> None: ...

class ServerReadyResponse(Message):
    ready: bool
    def __init__(self, *, ready: bool | None = ...) -> None: ...

class ModelReadyRequest(Message):
    name: str
    version: str
    def __init__(self, *, name: str | None = ..., version: str | None = ...) -> None: ...

class ModelReadyResponse(Message):
    ready: bool
    def __init__(self, *, ready: bool | None = ...) -> None: ...

class ServerMetadataRequest(Message):
    def __init__(self) -> None: ...

class ServerMetadataResponse(Message):
    name: str
    version: str
    @property
    def extensions(self) -> _Repeated[str]: ...
    def __init__(
        self,
        *,
        name: str | None = ...,
        version: str | None = ...,
        extensions: Iterable[str] | None = ...,
    ) -> None: ...

class ModelMetadataRequest(Message):
    name: str
    version: str
    def __init__(self, *, name: str | None = ..., version: str | None = ...) -> None: ...

class ModelMetadataResponse(Message):
    class TensorMetadata(Message):
        name: str
        datatype: str
        @property
        def shape(self) -> _Repeated[int]: ...
        def __init__(
            self,
            *,
            name: str | None = ...,
            datatype: str | None = ...,
            shape: Iterable[int] | None = ...,
        ) -> None: ...

    name: str
    @property
    def versions(self) -> _Repeated[str]: ...
    platform: str
    @property
    def inputs(self) -> _RepeatedMessage[ModelMetadataResponse.TensorMetadata]: ...
    @property
    def outputs(self) -> _RepeatedMessage[ModelMetadataResponse.TensorMetadata]: ...
    def __init__(
        self,
        *,
        name: str | None = ...,
        versions: Iterable[str] | None = ...,
        platform: str | None = ...,
        inputs: Iterable[ModelMetadataResponse.TensorMetadata] | None = ...,
        outputs: Iterable[ModelMetadataResponse.TensorMetadata] | None = ...,
    ) -> None: ...

class ModelInferRequest(Message):
    class InferInputTensor(Message):
        name: str
        datatype: str
        @property
        def shape(self) -> _Repeated[int]: ...
        @property
        def parameters(self) -> _MessageMap[str, InferParameter]: ...
        @property
        def contents(self) -> InferTensorContents: ...
        def __init__(
            self,
            *,
            name: str | None = ...,
            datatype: str | None = ...,
            shape: Iterable[int] | None = ...,
            parameters: Mapping[str, InferParameter] | None = ...,
            contents: InferTensorContents | None = ...,
        ) -> None: ...

    class InferRequestedOutputTensor(Message):
        name: str
        @property
        def parameters(self) -> _MessageMap[str, InferParameter]: ...
        def __init__(
            self, *, name: str | None = ..., parameters: Mapping[str, InferParameter] | None = ...
        ) -> None: ...

    model_name: str
    model_version: str
    id: str
    @property
    def parameters(self) -> _MessageMap[str, InferParameter]: ...
    @property
    def inputs(self) -> _RepeatedMessage[ModelInferRequest.InferInputTensor]: ...
    @property
    def outputs(self) -> _RepeatedMessage[ModelInferRequest.InferRequestedOutputTensor]: ...
    @property
    def raw_input_contents(self) -> _Repeated[bytes]: ...
    def __init__(
        self,
        *,
        model_name: str | None = ...,
        model_version: str | None = ...,
        id: str | None = ...,
        parameters: Mapping[str, InferParameter] | None = ...,
        inputs: Iterable[ModelInferRequest.InferInputTensor] | None = ...,
        outputs: Iterable[ModelInferRequest.InferRequestedOutputTensor] | None = ...,
        raw_input_contents: Iterable[bytes] | None = ...,
    ) -> None: ...

class ModelInferResponse(Message):
    class InferOutputTensor(Message):
        name: str
        datatype: str
        @property
        def shape(self) -> _Repeated[int]: ...
        @property
        def parameters(self) -> _MessageMap[str, InferParameter]: ...
        @property
        def contents(self) -> InferTensorContents: ...
        def __init__(
            self,
            *,
            name: str | None = ...,
            datatype: str | None = ...,
            shape: Iterable[int] | None = ...,
            parameters: Mapping[str, InferParameter] | None = ...,
            contents: InferTensorContents | None = ...,
        ) -> None: ...

    model_name: str
    model_version: str
    id: str
    @property
    def parameters(self) -> _MessageMap[str, InferParameter]: ...
    @property
    def outputs(self) -> _RepeatedMessage[ModelInferResponse.InferOutputTensor]: ...
    @property
    def raw_output_contents(self) -> _Repeated[bytes]: ...
    def __init__(
        self,
        *,
        model_name: str | None = ...,
        model_version: str | None = ...,
        id: str | None = ...,
        parameters: Mapping[str, InferParameter] | None = ...,
        outputs: Iterable[ModelInferResponse.InferOutputTensor] | None = ...,
        raw_output_contents: Iterable[bytes] | None = ...,
    ) -> None: ...

class InferParameter(Message):
    bool_param: bool
    int64_param: int
    string_param: str
    double_param: float
    uint64_param: int
    def __init__(
        self,
        *,
        bool_param: bool | None = ...,
        int64_param: int | None = ...,
        string_param: str | None = ...,
        double_param: float | None = ...,
        uint64_param: int | None = ...,
    ) -> None: ...

class InferTensorContents(Message):
    @property
    def bool_contents(self) -> _Repeated[bool]: ...
    @property
    def int_contents(self) -> _Repeated[int]: ...
    @property
    def int64_contents(self) -> _Repeated[int]: ...
    @property
    def uint_contents(self) -> _Repeated[int]: ...
    @property
    def uint64_contents(self) -> _Repeated[int]: ...
    @property
    def fp32_contents(self) -> _Repeated[float]: ...
    @property
    def fp64_contents(self) -> _Repeated[float]: ...
    @property
    def bytes_contents(self) -> _Repeated[bytes]: ...
    def __init__(
        self,
        *,
        bool_contents: Iterable[bool] | None = ...,
        int_contents: Iterable[int] | None = ...,
        int64_contents: Iterable[int] | None = ...,
        uint_contents: Iterable[int] | None = ...,
        uint64_contents: Iterable[int] | None = ...,
        fp32_contents: Iterable[float] | None = ...,
        fp64_contents: Iterable[float] | None = ...,
        bytes_contents: Iterable[bytes] | None = ...,
    ) -> None: ...

SERVICE: str
MODEL_INFER: str
