"""What a training ran on: versions, threads, device. For logs; nothing reads it back."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
from typing import Any

#: Modules whose versions can matter, and the distributions that they come in.
_LIBRARIES = {
    "numpy": "numpy",
    "torch": "torch",
    "accelerate": "accelerate",
    "transformers": "transformers",
    "tokenizers": "tokenizers",
    "safetensors": "safetensors",
    "sklearn": "scikit-learn",
    "catboost": "catboost",
    "cv2": "opencv-python-headless",
    "pyarrow": "pyarrow",
}


def training_environment(threads: int) -> dict[str, Any]:
    """Describe this process after a training, JSON-ready.

    Parameters
    ----------
    threads
        How many the training was held to.
    """
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processors": os.cpu_count(),
        "threads": threads,
        "device": _device(),
        "libraries": {
            name: _version(name) for module, name in sorted(_LIBRARIES.items()) if module in sys.modules
        },
    }


def _device() -> str:
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        return str(torch.cuda.get_device_name())
    return "cpu"


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
