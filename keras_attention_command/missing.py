"""One line for what an environment lacks: which extra brings it."""

import importlib.util
from pathlib import Path

# The packages of each extra by the names that are imported; an extra that has all others is last.
EXTRAS = {
    "serving": {"click", "google", "grpc", "numpy"},
    "server": {
        *("grpc_health", "grpc_reflection", "httptools", "ml_dtypes", "orjson"),
        *("prometheus_client", "rapidjson", "uvicorn"),
    },
    "metrics": {"sacrebleu"},
    "tensorflow": {
        *("keras", "matplotlib", "rich", "sentencepiece", "tensorflow"),
        *("tensorflow_serving", "tensorflow_text"),
    },
}


def reason(error: ImportError) -> str | None:
    """Advice on what to install after an `ImportError`; None if nothing known is missing."""
    if error.name is None:  # one of ours, which says it
        return str(error)
    if not isinstance(error, ModuleNotFoundError):
        return None
    package = error.name.partition(".")[0]
    for extra, packages in EXTRAS.items():
        if package in packages:
            return (
                f'Expected an environment with pip install "keras-attention-serving[{extra}]". '
                f"Received: no package named {package}"
            )
    return None


def overwritten() -> str | None:
    """Advice where another project's `keras_attention` lies over this one's; else None."""
    spec = importlib.util.find_spec("keras_attention")
    if spec is None or spec.origin is None or "_version" in Path(spec.origin).read_text("utf-8"):
        return None
    return (
        "Expected keras_attention of keras-attention-serving: pip uninstall keras-attention "
        "keras-attention-serving, and install the latter again. Received: that of another project, "
        f"{Path(spec.origin).parent}"
    )
