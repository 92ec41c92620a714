"""The versions that a result depends on."""

__version__ = "0.1.0"

_DIGITS = 16  # of a digest that is shown
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


def code_digest() -> str:
    """Identify the code of this package: a SHA-256 over all of its modules, shortened."""
    import hashlib
    from pathlib import Path

    digest, root = hashlib.sha256(), Path(__file__).parents[1]
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:_DIGITS]
