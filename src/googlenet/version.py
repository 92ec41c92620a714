"""The versions that a result depends on."""

__version__ = "0.1.0"

_PACKAGES = ("torch", "torchvision", "numpy", "Pillow", "openvino")


def versions() -> dict[str, str]:
    """Versions of this package and of those that decide what a run computes."""
    from importlib.metadata import PackageNotFoundError, version  # takes a tenth of a start to load

    found = {"googlenet": __version__}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
