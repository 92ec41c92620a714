"""Batch normalization with fixed statistics, a scale and a shift, folded into the convolution before it."""

import copy

from torch.nn.utils.fusion import fuse_conv_bn_eval

from googlenet.nn.blocks import ConvBlock
from googlenet.nn.model import GoogLeNet


def fold_batch_norm(net: GoogLeNet) -> GoogLeNet:
    """Copy a network for inference, its batch normalizations folded into the convolutions."""
    folded = copy.deepcopy(net).eval()
    for block in folded.modules():
        if isinstance(block, ConvBlock) and "norm" in dict(block.named_children()):
            block.conv = fuse_conv_bn_eval(block.conv, block.norm)
            del block.norm
    return folded
