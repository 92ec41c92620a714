"""The versions that a result depends on."""

from importlib.metadata import PackageNotFoundError, version

__version__ = version("googlenet")

_PACKAGES = ("googlenet", "torch", "torchvision", "numpy", "Pillow")


def versions() -> dict[str, str]:
    """Versions of this package and of those that decide what a run computes."""
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
