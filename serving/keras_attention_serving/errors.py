"""Exceptions of the client and the server.

    ServingError               a response of the server other than OK; `code` is its status
    ├── Cancelled              1   the caller gave up
    ├── Unknown                2
    ├── InvalidArgument        3   the request is wrong, whatever the state of the server
    ├── DeadlineExceeded       4   no response within the timeout
    ├── NotFound               5   no such model or version
    ├── AlreadyExists          6
    ├── PermissionDenied       7
    ├── ResourceExhausted      8   memory, quota, or a message that is too large
    ├── FailedPrecondition     9   e.g. the model has no such signature
    ├── Aborted               10
    ├── OutOfRange            11
    ├── Unimplemented         12   the server does not know the method
    ├── Internal              13   a fault of the server; its log knows more
    ├── Unavailable           14   no response, or not now: a retry may succeed
    ├── DataLoss              15   e.g. a damaged file
    └── Unauthenticated       16
    StartError (OSError)       a server cannot start; names the port, folder or version at fault

The same classes serve both ends: the server raises them and its transport turns them into a
status, the client turns a status back into them. The numbers are those of gRPC and of TensorFlow.
"""

import errno
import re
from typing import ClassVar

__all__ = [
    "Aborted",
    "AlreadyExists",
    "Cancelled",
    "DataLoss",
    "DeadlineExceeded",
    "FailedPrecondition",
    "Internal",
    "InvalidArgument",
    "NotFound",
    "OutOfRange",
    "PermissionDenied",
    "ResourceExhausted",
    "ServingError",
    "StartError",
    "Unauthenticated",
    "Unavailable",
    "Unimplemented",
    "Unknown",
    "from_code",
    "from_os_error",
    "status_text",
]


class ServingError(Exception):
    """A status other than OK.

    Args:
        message: the text of the status.
        log_text: the text without the values of a request that it quotes; by default it quotes
            none.

    Attributes:
        code: the number of the status, 1 to 16.
        message: the text of the status.
        log_text: the text that may be written into a log.
        final: True if the same request can never succeed, whatever the status usually means.
    """

    code: ClassVar[int] = 2
    final = False

    def __init__(self, message: str = "", log_text: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.log_text = message if log_text is None else log_text


class Cancelled(ServingError):
    code = 1


class Unknown(ServingError):
    code = 2


class InvalidArgument(ServingError):
    code = 3


class DeadlineExceeded(ServingError):
    code = 4


class NotFound(ServingError):
    code = 5


class AlreadyExists(ServingError):
    code = 6


class PermissionDenied(ServingError):
    code = 7


class ResourceExhausted(ServingError):
    code = 8


class FailedPrecondition(ServingError):
    code = 9


class Aborted(ServingError):
    code = 10


class OutOfRange(ServingError):
    code = 11


class Unimplemented(ServingError):
    code = 12


class Internal(ServingError):
    code = 13


class Unavailable(ServingError):
    code = 14


class DataLoss(ServingError):
    code = 15


class Unauthenticated(ServingError):
    code = 16


class StartError(OSError):
    """A server cannot start. The text names the port, the folder or the version at fault."""


_BY_CODE = {error.code: error for error in ServingError.__subclasses__()}


def from_code(code: int, message: str, log_text: str | None = None) -> ServingError:
    """The exception for a status; a number outside 1 to 16 gives `Unknown`."""
    return _BY_CODE.get(code, Unknown)(message, log_text)


def from_os_error(error: OSError, path: str) -> ServingError:
    """The exception for a file or folder that cannot be used, worded as TensorFlow does."""
    kind = _BY_ERRNO.get(error.errno or 0, Unknown)
    return kind(f"{path}; {error.strerror or error}")


_BY_ERRNO = {
    errno.ENOENT: NotFound,
    errno.EEXIST: AlreadyExists,
    errno.EPERM: PermissionDenied,
    errno.EACCES: PermissionDenied,
    errno.ENOTDIR: FailedPrecondition,
    errno.EISDIR: FailedPrecondition,
    errno.EMFILE: ResourceExhausted,
    errno.ENOSPC: ResourceExhausted,
}


def status_text(error: ServingError) -> str:
    """Code and message, as TensorFlow writes a status: `"NOT_FOUND: no such file"`."""
    name = re.sub("(?<=[a-z])(?=[A-Z])", "_", type(error).__name__).upper()
    return f"{name}: {error.message}"
