"""What people do with pretrained weights without this project's training: two plain programs.

    python experiments/transfer_peers.py {features,loop} DATA WEIGHTS --minutes M --seed S

`features`: the frozen network at 224, scikit-learn's logistic regression on its last average.
`loop`: all of the network fine-tuned as PyTorch's tutorial on transfer learning does: random crops and
mirror images at 224, batches of 32, SGD at 0.001 with momentum 0.9, a tenth of the rate after the first third
and the second, in float32.

Prints one line of JSON: accuracy on validation, and what it took from the start of the program.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision import datasets
from torchvision.transforms import v2

from googlenet import GoogLeNet, load_network
from googlenet.nn.model import network_input

STARTED = time.monotonic()
CLOSING = 15.0  # seconds of the budget that are kept for validation
BATCH = 32
SIDE = 224


Loader = DataLoader[tuple[torch.Tensor, int]]
Numbers = npt.NDArray[np.float32]


class Photos(Dataset[tuple[torch.Tensor, int]]):
    """The photos of a split: uint8 [224, 224, 3] and their labels."""

    def __init__(self, root: Path, transform: v2.Transform) -> None:
        """List a folder of class folders."""
        self.folder, self._transform = datasets.ImageFolder(str(root)), transform

    def __len__(self) -> int:
        """Count them."""
        return len(self.folder)

    def __getitem__(self, number: int) -> tuple[torch.Tensor, int]:
        """One of them."""
        path, label = self.folder.samples[number]
        with Image.open(path) as image:
            return torch.from_numpy(np.array(self._transform(image.convert("RGB")))), label


def splits(data: Path) -> tuple[Path, Path]:
    """The folders of training and validation; the test split where there is no validation."""
    names = ("val", "validation", "valid", "test")
    return data / "train", next(data / name for name in names if (data / name).is_dir())


def main() -> None:
    """Run one of the two."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("peer", choices=("features", "loop"))
    parser.add_argument("data", type=Path)
    parser.add_argument("weights", type=Path, help="a model file")
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    torch.manual_seed(chosen.seed)
    train, val = splits(chosen.data)
    net = load_network(chosen.weights)
    middle = v2.Compose([v2.Resize(SIDE, antialias=True), v2.CenterCrop(SIDE)])
    test = DataLoader(Photos(val, middle), BATCH)
    run = by_features if chosen.peer == "features" else by_loop
    accuracy, epochs = run(net, train, test, middle, end=STARTED + 60 * chosen.minutes - CLOSING)
    seconds = round(time.monotonic() - STARTED, 1)
    print(json.dumps({"top1": accuracy, "seconds": seconds, "epochs": epochs}))


def by_features(
    net: GoogLeNet, train: Path, test: Loader, middle: v2.Transform, *, end: float
) -> tuple[float, float]:
    """Accuracy of logistic regression on the frozen network's last average."""
    assert net.metadata is not None
    preprocessing = net.metadata.preprocessing

    @torch.inference_mode()
    def averages(loader: Loader) -> tuple[Numbers, Numbers]:
        found, labels = [], []
        for images, these in loader:
            pixels = network_input(images, preprocessing)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                found.append(net.trunk(pixels).float().mean(dim=(2, 3)))
            labels.append(these)
        return torch.cat(found).numpy(), torch.cat(labels).numpy()

    solver = make_pipeline(StandardScaler(), LogisticRegression(C=0.001, max_iter=1000))
    solver.fit(*averages(DataLoader(Photos(train, middle), BATCH)))
    return float(solver.score(*averages(test))), 1.0


def by_loop(
    net: GoogLeNet, train: Path, test: Loader, middle: v2.Transform, *, end: float
) -> tuple[float, float]:
    """Accuracy of the network after as many steps as the time holds."""
    assert net.metadata is not None
    preprocessing = net.metadata.preprocessing
    random = v2.Compose([v2.RandomResizedCrop(SIDE, antialias=True), v2.RandomHorizontalFlip()])
    photos = Photos(train, random)
    net.classifier = nn.Linear(net.classifier.in_features, len(photos.folder.classes))
    net.requires_grad_(True).train()
    sgd = torch.optim.SGD(net.parameters(), lr=0.001, momentum=0.9)
    began, seen = time.monotonic(), 0
    while time.monotonic() < end:
        for images, labels in DataLoader(
            photos, BATCH, shuffle=True, num_workers=1, drop_last=len(photos) > BATCH
        ):
            share = (time.monotonic() - began) / max(end - began, 1e-9)
            if share >= 1:
                break
            for group in sgd.param_groups:
                group["lr"] = 0.001 * 0.1 ** int(3 * share)
            loss = nn.functional.cross_entropy(net(network_input(images, preprocessing)), labels)
            sgd.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            sgd.step()
            seen += len(labels)
    net.eval()
    right = 0
    with torch.inference_mode():
        for images, labels in test:
            logits = net(network_input(images, preprocessing))
            right += int((logits.argmax(dim=1) == labels).sum())
    return right / len(test.dataset), seen / len(photos)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
