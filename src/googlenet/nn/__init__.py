"""The network in torch: blocks, model, heads, initial weights, layer names, fast forms;
model files as modules.

May import the packages of layers 0 to 3.
"""

__all__ = [
    "activations",
    "blocks",
    "checkpoint",
    "convolution",
    "fuse",
    "layer_names",
    "lrn",
    "members",
    "model",
]
