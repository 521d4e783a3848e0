"""Reader of TFRecord files: records with their lengths, both followed by a checksum.

    uint64 length, uint32 masked CRC of the length, data, uint32 masked CRC of the data

All little-endian. The checksum is CRC-32C; it is masked because the CRC of data that contains CRCs
is weak.
"""

import struct
from collections.abc import Iterator
from pathlib import Path

from keras_attention_serving import errors


def _table() -> list[int]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


_TABLE = _table()


def masked_crc(data: bytes) -> int:
    """The CRC-32C of `data`, masked as in TFRecord files."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def read(path: Path) -> Iterator[bytes]:
    """The records of a file, one by one.

    Raises `errors.DataLoss` where the file is cut short or a checksum is wrong.
    """
    with path.open("rb") as file:
        at = 0
        while header := file.read(12):
            length = struct.unpack("<Q", header[:8])[0] if _sound(header, 8) else None
            body = b"" if length is None else file.read(length + 4)
            if length is None or not _sound(body, length):
                raise errors.DataLoss(f"corrupted record at {at}")
            yield body[:-4]
            at = file.tell()


def _sound(data: bytes, length: int) -> bool:
    """True if `data` is `length` bytes and their checksum."""
    if len(data) != length + 4:
        return False
    return bool(masked_crc(data[:length]) == struct.unpack("<I", data[length:])[0])
