"""What people run today, as whole programs: photos through torchvision's googlenet, or through OpenVINO.

    python benchmarks/peers.py torchvision FOLDER      DataLoader, stock transform, eager float32
    python benchmarks/peers.py openvino FOLDER XML     stock transform, one image at a time, an int8 network
    python benchmarks/peers.py one PHOTO               one photo through torchvision

Each prints a label for each photo.
"""

import sys
import warnings
from pathlib import Path

from PIL import Image

warnings.simplefilter("ignore")

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def stock_transform(size: int = 224):
    from torchvision import transforms

    return transforms.Compose(
        [
            transforms.Resize(size * 256 // 224),
            transforms.CenterCrop(size),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, STD),
        ]
    )


def network():
    import torchvision

    return torchvision.models.googlenet(weights=None, init_weights=False, aux_logits=False).eval()


def with_torchvision(folder: Path) -> None:
    import torch
    from torch.utils.data import DataLoader, Dataset

    paths = sorted(folder.iterdir())
    transform = stock_transform()

    class Photos(Dataset):
        def __len__(self) -> int:
            return len(paths)

        def __getitem__(self, i: int):
            return transform(Image.open(paths[i]).convert("RGB"))

    net = network()
    with torch.inference_mode():
        for images in DataLoader(Photos(), batch_size=16, num_workers=1):
            print(*net(images).argmax(1).tolist(), sep="\n")


def with_openvino(folder: Path, xml: Path) -> None:
    import openvino as ov

    compiled = ov.compile_model(xml, "CPU")
    size = compiled.inputs[0].partial_shape[1].get_length()
    from torchvision import transforms

    transform = transforms.Compose([transforms.Resize(size * 256 // 224), transforms.CenterCrop(size)])
    import numpy as np

    for path in sorted(folder.iterdir()):
        pixels = np.asarray(transform(Image.open(path).convert("RGB")))
        print(compiled(pixels[None])[0].argmax())


def one_photo(path: Path) -> None:
    import torch

    with torch.inference_mode():
        image = stock_transform()(Image.open(path).convert("RGB"))
        print(network()(image[None]).softmax(1).topk(5))


if __name__ == "__main__":
    what, *places = sys.argv[1:]
    run = {"torchvision": with_torchvision, "openvino": with_openvino, "one": one_photo}[what]
    run(*map(Path, places))
