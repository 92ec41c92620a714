"""Folders of images to an index: scan, inspection, duplicates, splits.

May import the packages of layers 0 to 3.
"""

__all__ = [
    "dataset",
    "dataset_inspection",
    "duplicates",
    "files",
    "folder",
    "image_inspection",
    "imagenet",
    "index",
    "inspection_pool",
    "labeled",
    "scan",
    "splits",
    "table",
]
