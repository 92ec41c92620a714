"""One photo, named on the command line."""

from PIL import Image

from googlenet.base.errors import ImageError
from googlenet.images.decode import decode_opened, open_image
from googlenet.inference.predict import read


def read_photo(path: str) -> Image.Image:
    """Decode an image file, or with `-` standard input, upright.

    Raises ImageError that names the path.
    """
    try:
        return decode_opened(open_image(read(path)))
    except ImageError as error:
        raise ImageError(error.code, f"{path}: {error.reason}") from error
