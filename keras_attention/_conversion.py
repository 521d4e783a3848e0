"""Detection of converters, which do not know all operations of the fast forms."""

import sys
from types import FrameType

# Keras' own exports, and what is called without them.
CONVERTERS = {
    "keras.src.export.litert": "LiteRT",
    "keras.src.export.onnx": "ONNX",
    "tensorflow.lite.python.lite": "LiteRT",
    "tf2onnx.convert": "ONNX",
}


def traced_for_conversion(to: str | None = None) -> bool:
    """True if a converter to another format asks for the graph that is being traced.

    Such a graph takes the plain formulas: their operations every converter and runtime knows.

    Args:
        to: `"LiteRT"` or `"ONNX"`; either by default.
    """
    # Keras traces for `export(format="onnx")` as for a SavedModel, and has no name for which it is.
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        found = CONVERTERS.get(str(frame.f_globals.get("__name__")))
        if found is not None:
            return to in (None, found)
        frame = frame.f_back
    return False
