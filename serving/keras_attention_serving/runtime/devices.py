"""Log of the devices that TensorFlow has found."""

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keras_attention_serving import errors
from keras_attention_serving.runtime import c_api

logger = logging.getLogger(__name__)

_DEVICE_FILES = Path("/dev")
_VISIBLE = "CUDA_VISIBLE_DEVICES"


def report(config: bytes | None) -> None:
    """Logs the devices, and if there is no GPU the reason why one was expected.

    Args:
        config: the serialized `tensorflow.ConfigProto` of the models.
    """
    try:
        devices = listed(config)
    except (ImportError, errors.ServingError):
        return  # the error of the first model gives the reason
    logger.info("Devices of TensorFlow: %s", ", ".join(devices))
    reason = gpu_expected(os.environ)
    if reason and not any(name.startswith("GPU") for name in devices):
        logger.warning(
            "No GPU is used, although %s: TensorFlow could not use one. With "
            "TF_CPP_MIN_LOG_LEVEL=0 in the environment it says why.",
            reason,
        )


def listed(config: bytes | None = None) -> list[str]:
    """The devices of a session, such as `"CPU:0"` and `"GPU:0 (78.5 GiB)"`.

    Raises:
        ImportError: TensorFlow's wheel is not installed.
        errors.ServingError: TensorFlow cannot make a session.
    """
    lib = c_api.library()
    graph, options = lib.TF_NewGraph(), lib.TF_NewSessionOptions()
    session = devices = None
    try:
        with c_api.checked(lib) as status:
            if config is not None:
                lib.TF_SetConfig(options, config, len(config), status)
        with c_api.checked(lib) as status:
            session = lib.TF_NewSession(graph, options, status)
        with c_api.checked(lib) as status:
            devices = lib.TF_SessionListDevices(session, status)
        return [_described(lib, devices, i) for i in range(lib.TF_DeviceListCount(devices))]
    finally:
        if devices is not None:
            lib.TF_DeleteDeviceList(devices)
        if session is not None:
            with c_api.checked(lib) as status:
                lib.TF_DeleteSession(session, status)
        lib.TF_DeleteSessionOptions(options)
        lib.TF_DeleteGraph(graph)


def gpu_expected(environment: Mapping[str, str], folder: Path = _DEVICE_FILES) -> str:
    """The reason why this process should have a GPU; empty if there is none.

    Args:
        environment: the variables of the process.
        folder: the folder of the system's device files.
    """
    visible = environment.get(_VISIBLE)
    if visible is not None and visible.strip() in ("", "-1"):
        return ""  # hidden on purpose
    if visible is not None:
        return f"{_VISIBLE}={visible}"
    file = next(iter(sorted(folder.glob("nvidia[0-9]*"))), None)
    return f"there is {file}" if file is not None else ""


def _described(lib: Any, devices: int, index: int) -> str:
    with c_api.checked(lib) as status:
        name = lib.TF_DeviceListName(devices, index, status).decode().rpartition("device:")[2]
    if name.startswith("CPU"):
        return str(name)
    with c_api.checked(lib) as status:
        size = lib.TF_DeviceListMemoryBytes(devices, index, status)
    return f"{name} ({size / 2**30:.1f} GiB)"
