"""GoogLeNet (Inception V1, Szegedy et al. 2014): train it on your photos, measure it, use it.

    import googlenet

    net = googlenet.load("runs/photos")  # a torch module in evaluation mode
    for row in googlenet.classify(["cat.jpg"], googlenet.Classifier(net)):
        print(row.label, row.probability)

Importing the package loads no torch; the names below load what they need when they are used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from googlenet.errors import GoogLeNetError
from googlenet.version import __version__

if TYPE_CHECKING:
    from googlenet.activations import features
    from googlenet.checkpoint import save
    from googlenet.classifier import Classifier
    from googlenet.dreaming import dream
    from googlenet.exciting import top_activating
    from googlenet.explanation import explain
    from googlenet.model import GoogLeNet, InceptionBlock, WithAuxiliaryHeads
    from googlenet.models import load
    from googlenet.predict import classify
    from googlenet.visualization import visualize

__all__ = [
    "Classifier",
    "GoogLeNet",
    "GoogLeNetError",
    "InceptionBlock",
    "WithAuxiliaryHeads",
    "__version__",
    "classify",
    "dream",
    "explain",
    "features",
    "load",
    "save",
    "top_activating",
    "visualize",
]

_LAZY = {
    "Classifier": "classifier",
    "GoogLeNet": "model",
    "InceptionBlock": "model",
    "WithAuxiliaryHeads": "model",
    "classify": "predict",
    "dream": "dreaming",
    "explain": "explanation",
    "features": "activations",
    "load": "models",
    "save": "checkpoint",
    "top_activating": "exciting",
    "visualize": "visualization",
}


def __getattr__(name: str) -> Any:
    """Load a public name on first use."""
    if name not in _LAZY:
        raise AttributeError(f"module 'googlenet' has no attribute {name!r}")
    return getattr(import_module(f"googlenet.{_LAZY[name]}"), name)
