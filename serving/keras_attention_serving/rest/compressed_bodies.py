"""Decompression of request bodies, with bounds on what a few bytes may become."""

import zlib
from collections.abc import Mapping

from keras_attention_serving import errors

MAX_BYTES = 100 << 20  # of a body after decompression
MAX_VALUES = 1 << 20
_PIECE = 1 << 18


def gunzip(body: bytes, headers: Mapping[str, str], max_values: int) -> bytes:
    """Decompresses a body as TensorFlow Serving does: gzip alone, and empty if that fails.

    Args:
        body: the body.
        headers: of the request, by names in lower case.
        max_values: number of JSON values that it may hold if it has fewer bytes than that.

    Raises:
        errors.ResourceExhausted: as soon as there are too many values.
    """
    if "gzip" not in headers.get("content-encoding", ""):
        return body
    unzip = zlib.decompressobj(wbits=31)  # the gzip format
    values, size, pieces, rest = 0, 0, [b"x"], body
    try:
        while pieces[-1] and not unzip.eof and size <= MAX_BYTES:
            pieces.append(unzip.decompress(rest, _PIECE))
            rest = unzip.unconsumed_tail
            size += len(pieces[-1])
            values += count_values(pieces[-1])
            check_values(values, max(len(body), max_values))
    except zlib.error:
        return b""
    return b"".join(pieces[1:]) if unzip.eof and size <= MAX_BYTES else b""


def decompress(body: bytes, headers: Mapping[str, str]) -> bytes:
    """Decompresses a body by its `Content-Encoding`: gzip, deflate or identity.

    Raises `errors.ServingError` if that fails.
    """
    encoding = headers.get("content-encoding", "").lower()
    if encoding in ("", "identity"):
        return body
    if encoding not in ("gzip", "deflate"):
        raise errors.InvalidArgument(
            f"Expected Content-Encoding to be gzip, deflate or identity. Received: {encoding:.80}"
        )
    unzip = zlib.decompressobj(wbits=47)  # gzip, or zlib's own format
    try:
        data = unzip.decompress(body, MAX_BYTES + 1)
    except zlib.error:
        raise errors.InvalidArgument(
            f"Expected a body that is compressed with {encoding}. Received: other bytes"
        ) from None
    if len(data) > MAX_BYTES:
        raise errors.ResourceExhausted(
            f"Expected at most {MAX_BYTES} bytes in a compressed body. Received: more"
        )
    if not unzip.eof:
        raise errors.InvalidArgument(
            f"Expected a whole body that is compressed with {encoding}. Received: a part of one"
        )
    return data


def count_values(data: bytes) -> int:
    """About the number of values in JSON text: its commas, lists and objects."""
    return sum(map(data.count, (b",", b"[", b"{")))


def check_values(values: int, limit: int, noun: str = "values in a compressed body") -> None:
    """Raises `errors.ResourceExhausted` if there are more than `limit` values."""
    if values > limit:
        raise errors.ResourceExhausted(
            f"Expected at most {limit} {noun} (--rest_api_max_unzipped_values). "
            f"Received: about {values}"
        )
