"""The tree of exceptions and the numbers of gRPC."""

import errno
import os

import grpc
import pytest

from keras_attention_serving import errors


def test_every_grpc_status_has_its_exception():
    codes = {cls.code: cls.__name__ for cls in errors.ServingError.__subclasses__()}
    for status in grpc.StatusCode:
        number, _ = status.value
        if number:
            assert codes[number].lower() == status.name.replace("_", "").lower()
    assert len(codes) == 16


def test_from_code_carries_the_message():
    error = errors.from_code(5, "no such thing")
    assert type(error) is errors.NotFound
    assert (error.code, error.message, str(error)) == (5, "no such thing", "no such thing")


def test_a_number_that_is_no_status_is_unknown():
    assert type(errors.from_code(99, "?")) is errors.Unknown


@pytest.mark.parametrize(
    ("number", "error", "text"),
    [
        (errno.ENOENT, errors.NotFound, "NOT_FOUND: /a/b; No such file or directory"),
        (errno.EACCES, errors.PermissionDenied, "PERMISSION_DENIED: /a/b; Permission denied"),
        (errno.EISDIR, errors.FailedPrecondition, "FAILED_PRECONDITION: /a/b; Is a directory"),
        (errno.ELOOP, errors.Unknown, "UNKNOWN: /a/b; Too many levels of symbolic links"),
    ],
)
def test_errors_of_files(number, error, text):
    found = errors.from_os_error(OSError(number, os.strerror(number)), "/a/b")
    assert type(found) is error
    assert errors.status_text(found) == text


def test_start_error_is_an_os_error():
    with pytest.raises(OSError, match="port 8500"):
        raise errors.StartError("port 8500")


def test_all_names_every_public_class():
    public = {name for name, value in vars(errors).items() if isinstance(value, type)}
    assert set(errors.__all__) - {"from_code", "from_os_error", "status_text"} == public - {
        "ClassVar"
    }
