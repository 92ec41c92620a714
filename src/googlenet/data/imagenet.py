"""The 1,000 classes of ImageNet's challenges: WordNet ids, by which its folders are called, and names.

The ids are those of ILSVRC 2012 in their order, in which all published weights number the classes; the names
are torchvision's.
"""

import functools
from collections.abc import Collection, Sequence
from importlib import resources


@functools.cache
def imagenet_classes() -> dict[str, str]:
    """Name of each class by its WordNet id, in the order that all published weights share."""
    text = resources.files("googlenet.data").joinpath("imagenet.txt").read_text(encoding="utf-8")
    return dict(line.split(" ", 1) for line in text.splitlines())


def translate_ids(folders: Sequence[str], known: Collection[str]) -> Sequence[str]:
    """Names of the classes for folders that are all called by WordNet ids; others stay as they are.

    known  names that a model knows: folders that are among them stay as well
    """
    names = imagenet_classes()
    if not folders or any(folder not in names or folder in known for folder in folders):
        return folders
    return [names[folder] for folder in folders]
