"""Folders of images to an index: scan, inspection, duplicates, splits.

May import the packages of layers 0 to 3.
"""

__all__ = [
    "dataset_inspection",
    "duplicates",
    "folder",
    "image_inspection",
    "imagenet",
    "index",
    "inspection_pool",
    "scan",
    "splits",
]
