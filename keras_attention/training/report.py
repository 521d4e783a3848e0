"""Reports of evaluations as JSON, with all that is needed to make them again."""

import importlib.metadata
import json
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PACKAGES = ("keras-attention-serving", "keras", "tensorflow", "numpy", "sentencepiece", "sacrebleu")


def write(path: Path, figures: Mapping[str, Any], **about: Any) -> None:
    """Writes figures, what they are about, versions of packages, and the machine."""
    versions: dict[str, str | None] = {}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = None
    machine = {
        "system": platform.platform(),
        "python": platform.python_version(),
        "processors": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
    }
    report = {"figures": dict(figures), **about, "versions": versions, "machine": machine}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=2, ensure_ascii=False, default=str) + "\n", "utf-8")
