"""GoogLeNet (Inception V1, Szegedy et al. 2014): train it on your photos, measure it, use it.

    import googlenet

    model = googlenet.load_predictor("runs/photos")
    for row in googlenet.classify(["cat.jpg"], model):
        print(row.label, row.probability)

Importing the package loads no torch; the names below load what they need when they are used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from googlenet.base.errors import GoogLeNetError
from googlenet.base.version import __version__

if TYPE_CHECKING:
    from googlenet.inference.loading import load, load_network, load_predictor
    from googlenet.inference.predict import classify
    from googlenet.inference.torch_classifier import Classifier
    from googlenet.interpret.class_maps import explain
    from googlenet.interpret.deepdream import dream
    from googlenet.interpret.top_activations import top_activating
    from googlenet.interpret.visualization import visualize
    from googlenet.nn.activations import features
    from googlenet.nn.blocks import InceptionBlock
    from googlenet.nn.checkpoint import save
    from googlenet.nn.model import GoogLeNet, WithAuxiliaryHeads

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
    "load_network",
    "load_predictor",
    "save",
    "top_activating",
    "visualize",
]

_LAZY = {
    "Classifier": "inference.torch_classifier",
    "GoogLeNet": "nn.model",
    "InceptionBlock": "nn.model",
    "WithAuxiliaryHeads": "nn.model",
    "classify": "inference.predict",
    "dream": "interpret.deepdream",
    "explain": "interpret.class_maps",
    "features": "nn.activations",
    "load": "inference.loading",  # deprecated: its type depends on the path
    "load_network": "inference.loading",
    "load_predictor": "inference.loading",
    "save": "nn.checkpoint",
    "top_activating": "interpret.top_activations",
    "visualize": "interpret.visualization",
}


def __getattr__(name: str) -> Any:
    """Load a public name on first use."""
    if name not in _LAZY:
        raise AttributeError(f"module 'googlenet' has no attribute {name!r}")
    return getattr(import_module(f"googlenet.{_LAZY[name]}"), name)
