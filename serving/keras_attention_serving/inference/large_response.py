"""A large `PredictResponse`, serialized part by part.

protobuf fills, copies and serializes a message in single steps, each of which holds the
interpreter's lock for a time that grows with its size.
"""

from collections.abc import Mapping

from keras_attention_serving.protocol import tensors, wire
from keras_attention_serving.protocol.tensors import Array

_OUTPUTS: int = wire.PredictResponse.DESCRIPTOR.fields_by_name["outputs"].number
_KEY, _VALUE = 1, 2  # of an entry of a map


class LargeResponse:
    """Outputs that stay arrays until they are serialized, as a `PredictResponse`.

    Args:
        response: the message without its outputs.
        outputs: arrays by name.
        typed: numbers go into the typed fields instead of `tensor_content`.
    """

    def __init__(
        self, response: wire.PredictResponse, outputs: Mapping[str, Array], typed: bool
    ) -> None:
        self._response = response
        self._typed = typed
        self.outputs = outputs

    def SerializeToString(self) -> bytes:  # noqa: N802 (as messages have it)
        pieces: list[bytes] = [self._response.SerializeToString()]
        for name, array in self.outputs.items():
            tensor = tensors.to_pieces(array, self._typed)
            key = name.encode()
            entry = tensors.tag(_KEY) + tensors.varint(len(key)) + key
            size = sum(map(len, tensor))
            entry += tensors.tag(_VALUE) + tensors.varint(size)
            pieces.append(tensors.tag(_OUTPUTS) + tensors.varint(len(entry) + size) + entry)
            pieces += tensor
        return b"".join(pieces)
