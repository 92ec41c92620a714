"""The same function in fewer operations, for inference: network -> network.

Batch normalization with fixed statistics is a scale and a shift, which the convolution before it can
hold. The three 1x1 convolutions that read a module's input are one wider convolution.
"""

import copy

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from googlenet.architecture.dialects import Preprocessing
from googlenet.nn.blocks import ConvBlock, InceptionBlock
from googlenet.nn.model import GoogLeNet, network_input


class MergedInceptionBlock(nn.Module):
    """The Inception module of Figure 2(b) with its three sibling 1x1 convolutions as one."""

    def __init__(self, block: InceptionBlock) -> None:
        """Take over the weights of a module whose batch normalization is folded."""
        super().__init__()
        siblings = [part.conv for part in (block.n1x1, block.n3x3_reduce, block.n5x5_reduce)]
        biases = [conv.bias for conv in siblings if conv.bias is not None]
        self.widths = [conv.out_channels for conv in siblings]
        self.siblings = nn.Conv2d(siblings[0].in_channels, sum(self.widths), 1)
        self.siblings.weight.data = torch.cat([conv.weight.data for conv in siblings])
        self.siblings.bias = nn.Parameter(torch.cat(biases).detach())
        self.relu = nn.ReLU()
        self.n3x3, self.n5x5 = block.n3x3, block.n5x5
        self.pool, self.pool_proj = block.pool, block.pool_proj

    def forward(self, x: Tensor) -> Tensor:
        """[N, channels, H, W] -> [N, n1x1 + n3x3 + n5x5 + pool_proj, H, W]."""
        n1x1, n3x3, n5x5 = self.relu(self.siblings(x)).split(self.widths, dim=1)
        return torch.cat([n1x1, self.n3x3(n3x3), self.n5x5(n5x5), self.pool_proj(self.pool(x))], dim=1)


def fold_batch_norm(net: GoogLeNet) -> GoogLeNet:
    """Copy a network for inference, its batch normalizations folded into the convolutions."""
    folded = copy.deepcopy(net).eval()
    for block in folded.modules():
        if isinstance(block, ConvBlock) and "norm" in dict(block.named_children()):
            block.conv = fuse_conv_bn_eval(block.conv, block.norm)
            del block.norm
    return folded


def merge_siblings(net: GoogLeNet) -> GoogLeNet:
    """Copy a network whose batch normalization is folded, the sibling 1x1 convolutions merged."""
    merged = copy.deepcopy(net)
    for name, stage in merged.trunk.named_children():
        if isinstance(stage, InceptionBlock):
            setattr(merged.trunk, name, MergedInceptionBlock(stage))
    return merged


class Exportable(nn.Module):
    """What is exported: from bytes as decoded to logits and class maps, normalization included."""

    def __init__(self, net: GoogLeNet, preprocessing: Preprocessing) -> None:
        """Take a network for inference and how its input is normalized."""
        super().__init__()
        self.net, self.preprocessing = net, preprocessing

    @property
    def merged(self) -> bool:
        """Whether sibling 1x1 convolutions are one; not where there are none, as in the dialect `naive`."""
        return any(isinstance(stage, MergedInceptionBlock) for stage in self.net.trunk)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """uint8 [N, size, size, 3] in RGB -> logits [N, classes] and maps [N, classes, h, w].

        The mean of a class's map is its logit; a network with a dense layer there has no maps.
        """
        features = self.net.trunk(network_input(images, self.preprocessing))
        logits = self.net.classify(features)
        if self.net.dialect.dense is not None:
            return (logits,)
        return logits, self.net.class_maps(features)


def exportable(net: GoogLeNet, preprocessing: Preprocessing, *, merged: bool = True) -> Exportable:
    """Prepare a network for export; `merged` joins the sibling 1x1 convolutions."""
    folded = fold_batch_norm(net)
    return Exportable(merge_siblings(folded) if merged else folded, preprocessing).eval()
