"""Networks of torchvision where the trainer expects ours: the same loop, recipe and budget plan them.

    python experiments/program.py train DATA --dialect resnet18 --minutes 30 --out RUN

They go by a dialect of their name, which says that they halve an image as often before their main part as
Table 1 does, so that the same sizes are chosen among. Everything else is torchvision's, initial weights
and dropout too; they have no auxiliary heads.
"""

from collections import OrderedDict
from pathlib import Path

import torchvision
from torch import Tensor, nn

from googlenet.architecture.dialects import DIALECTS, Dialect
from googlenet.base.errors import InputError, ModelFileError
from googlenet.files import modelfile
from googlenet.files.metadata import ModelMetadata
from googlenet.inference.torch_classifier import Classifier
from googlenet.nn import checkpoint
from googlenet.nn.model import GoogLeNet, Outputs, WithAuxiliaryHeads
from googlenet.training.decision.recipe import Recipe
from googlenet.training.transfer import pretrained as transfer
from googlenet.training.transfer.pretrained import build_network as ours

PEERS = {
    # a dense layer: neither class maps nor features for a detector
    name: Dialect(name=name, about=f"torchvision's {name}", batch_norm=True, padding="floor", dense=1)
    for name in ("resnet18", "mobilenet_v3_large")
}


class Peer(GoogLeNet):
    """A network of torchvision's behind the attributes of ours that the trainer uses."""

    def __init__(self, name: str, num_classes: int) -> None:
        """Build it with torchvision's initial weights."""
        nn.Module.__init__(self)  # nothing of Table 1
        self.dialect = PEERS[name]
        self.metadata = None
        self.num_classes = num_classes
        whole = torchvision.models.get_model(name, weights=None, num_classes=num_classes)
        self.trunk = nn.Sequential(OrderedDict({name: whole}))
        self.dropout = self.classifier = nn.Identity()  # type: ignore[assignment]

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images [N, 3, H, W], of any size that the network takes -> logits [N, num_classes]."""
        return self.trunk(images)  # type: ignore[no-any-return]

    def maps(self, images: Tensor) -> Tensor:
        """What it makes of images, whatever that is."""
        return self.trunk(images)  # type: ignore[no-any-return]

    def features(self, maps: Tensor) -> Tensor:
        """What its own classifier made of them."""
        return maps

    def class_maps(self, maps: Tensor) -> Tensor:
        """It has none that are known to be exact."""
        raise ModelFileError(f"{self.dialect.name} has no class maps")


class WithoutHeads(WithAuxiliaryHeads):
    """A peer where the trainer expects a network with two heads."""

    def __init__(self, net: Peer) -> None:
        """Put no heads on `net`."""
        nn.Module.__init__(self)
        self.net = net
        self.heads = nn.ModuleDict()

    def forward(self, images: Tensor) -> Outputs:
        """Normalised images [N, 3, H, W] -> its logits, and for the heads constants: they teach nothing."""
        logits = self.net(images)
        return Outputs(logits, logits.detach(), logits.detach())


def network(recipe: Recipe, dialect: str, *, classes: int) -> WithAuxiliaryHeads:
    """`transfer.build_network`, which knows the peers too.

    Raises InputError for a peer with another stem than torchvision's.
    """
    if dialect not in PEERS and dialect.startswith(tuple(PEERS)):
        raise InputError(f"expected no --stem with a network of torchvision's, got {dialect}")
    return (
        WithoutHeads(Peer(dialect, classes)) if dialect in PEERS else ours(recipe, dialect, classes=classes)
    )


def register() -> None:
    """Let this process train the peers by name, as it trains the package's own networks."""
    DIALECTS.update(PEERS)
    transfer.__dict__["build_network"] = network  # where a new run and a resumed one look for it


def load(folder: Path) -> Classifier:
    """Load the finished network of a run, ours or a peer's.

    Raises ModelFileError if there is none.
    """
    DIALECTS.update(PEERS)  # or the card of a peer names one that is not known
    path = modelfile.model_path(folder)
    stored, header = modelfile.read(path)
    card = ModelMetadata.from_header(header, path)
    if card.dialect not in PEERS:
        return Classifier(checkpoint.load(folder))
    net = Peer(card.dialect, len(card.classes))
    checkpoint.load_arrays(net, stored, where=str(path))
    return Classifier(net.eval().requires_grad_(False), card)
