"""The published weights as data: where each file is, and what it calls the parts of Table 1."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from googlenet.architecture.dialects import dialect
from googlenet.architecture.table1 import AUX_STAGES, Conv, Inception
from googlenet.files.download import Digest

Format = Literal["pth", "caffemodel", "graph", "npz", "onnx"]


@dataclass(frozen=True, kw_only=True)
class Family:
    """One kind of published file.

    stem        its names of conv1, conv2_reduce and conv2
    modules     its names of inception_3a to inception_5b, by `3a` to `5b`
    branches    what it adds to them, in the order of `Inception`: n1x1 to pool_proj
    heads       its names of a head's convolution and two dense layers, `{}` for the head's number
    conv        what it adds for each array of a convolution; its `norm` is the normalization
    dense       what it adds for the two arrays of a dense layer
    """

    name: str
    dialect: str
    format: Format
    stem: tuple[str, str, str]
    modules: Mapping[str, str]
    branches: tuple[str, str, str, str, str, str]
    classifier: str
    conv: Mapping[str, str]
    dense: Mapping[str, str]
    heads: tuple[str, str, str] | None = None
    first_head: int = 1
    renamed: Mapping[str, str] = field(default_factory=dict)  # where it breaks its own rule
    channels_last: bool = False  # TensorFlow's HWIO, its dense layers [in, out], its maps flattened NHWC
    dense_is_conv: bool = False  # the classifier is a 1x1 convolution
    background: bool = False  # an output for `none of them`, before all others
    trap: str = "convert --preprocessing says otherwise"  # what a file of this family does not tell
    url: str | None = None
    digest: Digest | None = None  # where its publisher gave one


_STAGES = ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b")
_TORCH_BRANCHES = ("branch1", "branch2.0", "branch2.1", "branch3.0", "branch3.1", "branch4.1")
_TORCH_HEADS = ("aux{}.conv", "aux{}.fc1", "aux{}.fc2")
_TORCH_DENSE = {"weight": ".weight", "bias": ".bias"}


def _torch_conv(conv: str, norm: str) -> dict[str, str]:
    statistics = ("weight", "bias", "running_mean", "running_var")
    return {"conv.weight": f".{conv}.weight"} | {f"norm.{name}": f".{norm}.{name}" for name in statistics}


FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        Family(
            name="torchvision",
            dialect="torchvision",
            format="pth",
            stem=("conv1", "conv2", "conv3"),
            modules={stage: f"inception{stage}." for stage in _STAGES},
            branches=_TORCH_BRANCHES,
            heads=_TORCH_HEADS,
            classifier="fc",
            conv=_torch_conv("conv", "bn"),
            dense=_TORCH_DENSE,
            trap=(
                "torchvision's network takes that if it was built with weights; if it was built without, "
                "convert it with --preprocessing imagenet"
            ),
            url="https://download.pytorch.org/models/googlenet-1378be20.pth",
            digest=Digest("sha256", "1378be20"),
        ),
        Family(
            name="pytorch-bn",
            dialect="bn",
            format="pth",
            stem=("conv1", "conv2a", "conv2b"),
            modules={stage: f"inception{stage}." for stage in _STAGES},
            branches=_TORCH_BRANCHES,
            heads=_TORCH_HEADS,
            classifier="fc",
            conv=_torch_conv("conv_block.0", "conv_block.1"),
            dense=_TORCH_DENSE,
        ),
        Family(
            name="bvlc",
            dialect="bvlc",
            format="caffemodel",
            stem=("conv1/7x7_s2", "conv2/3x3_reduce", "conv2/3x3"),
            modules={stage: f"inception_{stage}/" for stage in _STAGES},
            branches=("1x1", "3x3_reduce", "3x3", "5x5_reduce", "5x5", "pool_proj"),
            heads=("loss{}/conv", "loss{}/fc", "loss{}/classifier"),
            classifier="loss3/classifier",
            conv={"conv.weight": "[0]", "conv.bias": "[1]"},
            dense={"weight": "[0]", "bias": "[1]"},
            url="http://dl.caffe.berkeleyvision.org/bvlc_googlenet.caffemodel",
            digest=Digest("sha1", "405fc5acd08a3bb12de8ee5e23a96bec22f08204"),
        ),
        Family(
            name="onnx",  # BVLC's weights in the ONNX model zoo, by way of Caffe2
            dialect="bvlc",
            format="onnx",
            stem=("conv1/7x7_s2", "conv2/3x3_reduce", "conv2/3x3"),
            modules={stage: f"inception_{stage}/" for stage in _STAGES},
            branches=("1x1", "3x3_reduce", "3x3", "5x5_reduce", "5x5", "pool_proj"),
            classifier="loss3/classifier",
            conv={"conv.weight": "_w_0", "conv.bias": "_b_0"},
            dense={"weight": "_w_0", "bias": "_b_0"},
        ),
        Family(
            name="inception5h",
            dialect="inception5h",
            format="graph",
            stem=("conv2d0", "conv2d1", "conv2d2"),
            modules={stage: f"mixed{stage}_" for stage in _STAGES},
            branches=("1x1", "3x3_bottleneck", "3x3", "5x5_bottleneck", "5x5", "pool_reduce"),
            heads=("head{}_bottleneck", "nn{}", "softmax{}"),
            first_head=0,
            classifier="softmax2",
            conv={"conv.weight": "_w", "conv.bias": "_b"},
            dense={"weight": "_w", "bias": "_b"},
            channels_last=True,
            url="https://storage.googleapis.com/download.tensorflow.org/models/inception5h.zip",
        ),
        Family(
            name="slim",
            dialect="slim",
            format="npz",
            stem=tuple(f"InceptionV1/Conv2d_{name}" for name in ("1a_7x7", "2b_1x1", "2c_3x3")),  # type: ignore[arg-type]
            # their letters begin with the pooling: 3a is Mixed_3b
            modules={stage: f"InceptionV1/Mixed_{stage[0]}{chr(ord(stage[1]) + 1)}/" for stage in _STAGES},
            branches=(
                "Branch_0/Conv2d_0a_1x1",
                "Branch_1/Conv2d_0a_1x1",
                "Branch_1/Conv2d_0b_3x3",
                "Branch_2/Conv2d_0a_1x1",
                "Branch_2/Conv2d_0b_3x3",
                "Branch_3/Conv2d_0b_1x1",
            ),
            renamed={"trunk.inception_5a.n5x5": "InceptionV1/Mixed_5b/Branch_2/Conv2d_0a_3x3"},
            classifier="InceptionV1/Logits/Conv2d_0c_1x1",
            conv={
                "conv.weight": "/weights",
                "norm.bias": "/BatchNorm/beta",
                "norm.running_mean": "/BatchNorm/moving_mean",
                "norm.running_var": "/BatchNorm/moving_variance",
            },
            dense={"weight": "/weights", "bias": "/biases"},
            channels_last=True,
            dense_is_conv=True,
            background=True,
        ),
    )
}


def published_names(family: Family) -> dict[str, str]:
    """Our name of each array -> the family's, heads included where it has them."""
    convs: dict[str, str] = {}
    stem = iter(family.stem)
    for name, row in dialect(family.dialect).table.items():
        if isinstance(row, Conv):
            convs[f"trunk.{name}"] = next(stem)
        elif isinstance(row, Inception):
            module = family.modules[name.removeprefix("inception_")]
            for branch, theirs in zip(Inception._fields, family.branches, strict=True):
                convs[f"trunk.{name}.{branch}"] = module + theirs
    denses = {"classifier": family.classifier}
    for number, stage in enumerate(AUX_STAGES if family.heads else (), start=family.first_head):
        conv, hidden, last = (name.format(number) for name in family.heads or ())
        convs[f"heads.{stage}.conv"] = conv
        denses |= {f"heads.{stage}.hidden": hidden, f"heads.{stage}.classifier": last}
    convs |= family.renamed
    parts = ((convs, family.conv), (denses, family.dense))
    return {
        f"{ours}.{part}": theirs + suffix
        for layers, suffixes in parts
        for ours, theirs in layers.items()
        for part, suffix in suffixes.items()
    }
