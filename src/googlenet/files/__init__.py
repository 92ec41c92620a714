"""Files that are written and read: checksums, atomic writes, locks, downloads, model files,
exports, run folders.

May import the packages of layers 0 to 2.
"""

__all__ = [
    "checksum",
    "download",
    "graphfile",
    "manifest",
    "modelfile",
    "output_paths",
    "parity",
    "runfolder",
]
