"""Which part of a photo becomes the network's square."""

from googlenet.architecture.dialects import Fit, Preprocessing

Box = tuple[float, float, float, float]  # left, top, right, bottom, in upright pixels
Color = tuple[int, int, int]
WHITE: Color = (255, 255, 255)


def seen_box(width: int, height: int, preprocessing: Preprocessing) -> Box:
    """The part of a photo that the network sees, in pixels: by `fit`, `crop` of it, in the middle.

    To be padded, it reaches beyond the photo.
    """
    left, top, right, bottom = whole_box(width, height, preprocessing.fit)
    wide, high = preprocessing.crop * (right - left), preprocessing.crop * (bottom - top)
    left, top = (width - wide) / 2, (height - high) / 2
    return left, top, left + wide, top + high


def whole_box(width: int, height: int, fit: Fit) -> Box:
    """All that a network could see of a photo: its middle square, the photo, or the square around it."""
    if fit == "squash":
        return 0.0, 0.0, float(width), float(height)
    side = min(width, height) if fit == "crop" else max(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    return left, top, left + side, top + side


def mean_color(preprocessing: Preprocessing) -> Color:
    """What becomes zero in the network's input, as near as 8 bits allow."""
    red, green, blue = (min(255, max(0, round(255 * each))) for each in preprocessing.mean)
    return red, green, blue
