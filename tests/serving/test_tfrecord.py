"""Files written by TensorFlow, and damaged ones."""

import pytest
import tensorflow as tf

from keras_attention_serving import errors
from keras_attention_serving.versions import tfrecord

RECORDS = [b"", b"one", bytes(range(256)) * 7]


@pytest.fixture
def path(tmp_path):
    with tf.io.TFRecordWriter(str(tmp_path / "records")) as writer:
        for record in RECORDS:
            writer.write(record)
    return tmp_path / "records"


def test_crc_of_the_standard():
    """RFC 3720, B.4: 32 bytes of zeros have the CRC-32C 8a9136aa."""
    crc = 0x8A9136AA
    assert tfrecord.masked_crc(bytes(32)) == ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def test_reads_what_tensorflow_writes(path):
    assert list(tfrecord.read(path)) == RECORDS


def test_an_empty_file(tmp_path):
    (tmp_path / "records").touch()
    assert list(tfrecord.read(tmp_path / "records")) == []


@pytest.mark.parametrize(("at", "record"), [(0, 0), (9, 0), (16, 16), (30, 16), (40, 35)])
def test_a_flipped_bit(path, at, record):
    data = bytearray(path.read_bytes())
    data[at] ^= 4
    path.write_bytes(data)
    with pytest.raises(errors.DataLoss, match=f"^corrupted record at {record}$"):
        list(tfrecord.read(path))


@pytest.mark.parametrize("missing", [1, 5, 1800])
def test_a_file_cut_short(path, missing):
    path.write_bytes(path.read_bytes()[:-missing])
    with pytest.raises(errors.DataLoss, match="^corrupted record at 35$"):
        list(tfrecord.read(path))
