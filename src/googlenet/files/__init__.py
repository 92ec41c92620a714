"""Files that are written and read: checksums, atomic writes, locks, downloads, model files,
exports, run folders.

May import the packages of layers 0 to 2.
"""

__all__ = [
    "atomic",
    "checksum",
    "download",
    "events",
    "graphfile",
    "manifest",
    "metadata",
    "modelfile",
    "output_paths",
    "parity",
    "runfolder",
]
