"""Image files in every color mode, and by arithmetic the pixels that each must give."""

import io
import struct
import zlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pillow_heif
import simplejpeg
from PIL import Image, ImageCms

Array = npt.NDArray[np.generic]

# Another package's encoder; to open them it is never asked.
Image.register_save("HEIF", pillow_heif.as_plugin._save_heif)
_ALIKE: dict[str, dict[str, object]] = {  # the best that they can be asked for, which is not quite the same
    "HEIF": {"quality": -1, "chroma": 444, "matrix_coefficients": 0},
    "AVIF": {"quality": 100, "subsampling": "4:4:4"},
}

WIDE, HIGH = 96, 64
SQUARE = 16  # of one color each, so that JPEG and chroma subsampling change little


class Sample(NamedTuple):
    """A file, what it must give, and by how many levels it may be off."""

    data: bytes
    expected: npt.NDArray[np.float64]
    tolerance: float = 0


def flat(channels: int, *, levels: int = 256, seed: int = 0) -> Array:
    """Squares of random values below `levels`, [HIGH, WIDE, channels]."""
    values = np.random.default_rng(seed).integers(0, levels, (HIGH // SQUARE, WIDE // SQUARE, channels))
    return values.repeat(SQUARE, axis=0).repeat(SQUARE, axis=1)


def picture(values: Array, mode: str) -> Image.Image:
    """An image from 8-bit values."""
    return Image.frombytes(mode, (values.shape[1], values.shape[0]), values.astype(np.uint8).tobytes())


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    """An image as a file in memory."""
    buffer = io.BytesIO()
    if form == "HEIF" and isinstance(exif := options.pop("exif", None), Image.Exif):
        image = image.copy()  # where this encoder looks for the orientation that the container is to have
        image.info["exif"] = exif.tobytes()
    image.save(buffer, form, **{**_ALIKE.get(form, {}), **options})  # type: ignore[arg-type]
    return buffer.getvalue()


def chunk(name: bytes, content: bytes) -> bytes:
    """One chunk of a PNG file."""
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(rows: list[bytes], wide: int, *, depth: int, color: int, extra: bytes = b"") -> bytes:
    """A PNG file from packed rows; `extra` chunks stand before the pixels."""
    header = struct.pack(">IIBBBBB", wide, len(rows), depth, color, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    parts = chunk(b"IHDR", header) + extra + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def tiff(
    content: bytes, size: tuple[int, int], *, order: str, bits: tuple[int, ...], tags: dict[int, int]
) -> bytes:
    """An uncompressed TIFF file of one strip; `tags` are short numbers beside the usual."""
    wide, high = size
    numbers = {256: wide, 257: high, 259: 1, 277: len(bits), 278: high, **tags}
    entries = {tag: struct.pack(order + "HHIHH", tag, 3, 1, value, 0) for tag, value in numbers.items()}
    end = 8 + 2 + 12 * (len(entries) + 3) + 4
    if len(bits) > 2:
        entries[258] = struct.pack(order + "HHII", 258, 3, len(bits), end)
    else:
        entries[258] = struct.pack(order + "HHIHH", 258, 3, len(bits), *(*bits, 0)[:2])
    beside = struct.pack(f"{order}{len(bits)}H", *bits) if len(bits) > 2 else b""
    entries[273] = struct.pack(order + "HHII", 273, 4, 1, end + len(beside))
    entries[279] = struct.pack(order + "HHII", 279, 4, 1, len(content))
    directory = struct.pack(order + "H", len(entries)) + b"".join(entries[tag] for tag in sorted(entries))
    start = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    return start + directory + struct.pack(order + "I", 0) + beside + content


def over_white(colors: Array, alpha: Array) -> npt.NDArray[np.float64]:
    """Lay colors over white: alpha from 0 to 255, [H, W, 1]."""
    share = alpha.astype(np.float64) / 255
    return colors * share + 255 * (1 - share)


def grey(values: Array) -> npt.NDArray[np.float64]:
    """Three equal channels."""
    return np.broadcast_to(values, (*values.shape[:2], 3)).astype(np.float64)


def from_inks(inks: Array) -> npt.NDArray[np.float64]:
    """CMYK to RGB by the formula without a profile."""
    return (255.0 - inks[..., :3]) * (255.0 - inks[..., 3:]) / 255


def from_ycc(ycc: Array) -> npt.NDArray[np.float64]:
    """The equations of JFIF."""
    y, cb, cr = np.moveaxis(ycc.astype(np.float64), -1, 0)
    cb, cr = cb - 128, cr - 128
    return np.stack([y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb], -1).clip(0, 255)


def from_lab(lab: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """L* 0 to 100, a* and b* signed; by D50, adapted to D65 after Bradford, to sRGB."""
    y = (lab[..., 0] + 16) / 116
    roots = np.stack([y + lab[..., 1] / 500, y, y - lab[..., 2] / 200], axis=-1)
    xyz = np.where(roots > 6 / 29, roots**3, (roots - 4 / 29) * 3 * (6 / 29) ** 2)
    xyz = xyz * [0.96422, 1.0, 0.82521]
    matrix = np.array(  # of sRGB from XYZ relative to D50
        [
            [3.1338561, -1.6168667, -0.4906146],
            [-0.9787684, 1.9161415, 0.0334540],
            [0.0719453, -0.2289914, 1.4052427],
        ]
    )
    linear = (xyz @ matrix.T).clip(0, 1)
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


SAMPLES: dict[str, Callable[[], Sample]] = {}


def sample(function: Callable[[], Sample]) -> Callable[[], Sample]:
    """Add a file to the matrix."""
    SAMPLES[function.__name__] = function
    return function


def _several(name: str, forms: tuple[str, ...], make: Callable[[str], Sample]) -> None:
    for form in forms:
        SAMPLES[f"{name}_{form.lower()}"] = lambda form=form: make(form)  # type: ignore[misc]


def _bilevel(form: str) -> Sample:
    values = flat(1, levels=2) * 255
    return Sample(encoded(picture(values, "L").convert("1"), form), grey(values))


def _grey(form: str) -> Sample:
    return Sample(encoded(picture(flat(1), "L"), form), grey(flat(1)))


def _grey_alpha(form: str) -> Sample:
    values = flat(2)
    return Sample(
        encoded(picture(values, "LA"), form), over_white(grey(values[..., :1]), values[..., 1:]), 0.51
    )


def _rgb(form: str) -> Sample:
    options = {"lossless": True} if form == "WEBP" else {}
    return Sample(encoded(picture(flat(3), "RGB"), form, **options), flat(3).astype(np.float64))


def _rgba(form: str) -> Sample:
    options = {"lossless": True, "exact": True} if form == "WEBP" else {}
    values = flat(4)
    data = encoded(picture(values, "RGBA"), form, **options)
    return Sample(data, over_white(values[..., :3], values[..., 3:]), 0.51)


def _palette() -> tuple[Image.Image, Array, Array]:
    numbers, colors = flat(1, levels=200), np.random.default_rng(1).integers(0, 256, (256, 3))
    image = picture(numbers, "P")
    image.putpalette(colors.astype(np.uint8).tobytes())
    return image, numbers[..., 0], colors


def _palettes(form: str) -> Sample:
    image, numbers, colors = _palette()
    return Sample(encoded(image, form), colors[numbers].astype(np.float64))


_several("bilevel", ("PNG", "TIFF", "BMP"), _bilevel)
_several("grey", ("PNG", "TIFF", "BMP", "GIF"), _grey)
_several("grey_alpha", ("PNG", "TIFF"), _grey_alpha)
_several("rgb", ("PNG", "TIFF", "BMP", "WEBP"), _rgb)
_several("rgba", ("PNG", "TIFF", "WEBP"), _rgba)
_several("palette", ("PNG", "TIFF", "BMP", "GIF"), _palettes)


def _phones(mode: str, form: str) -> Sample:
    values = flat(len(mode))
    colors = grey(values[..., :1]) if mode == "L" else values[..., :3].astype(np.float64)
    data = encoded(picture(values, mode), form)
    return Sample(data, over_white(colors, values[..., 3:]) if mode == "RGBA" else colors, 3)


for _mode in ("L", "RGB", "RGBA"):
    _several(f"{_mode.lower()}_of_a_phone", tuple(_ALIKE), lambda form, mode=_mode: _phones(mode, form))


def _deep_heif(bits: int) -> Sample:
    values = flat(3)
    wide = pillow_heif.from_bytes("RGB;16", (WIDE, HIGH), (values.astype(np.uint16) * 257).tobytes())
    buffer, before = io.BytesIO(), pillow_heif.options.SAVE_HDR_TO_12_BIT
    pillow_heif.options.SAVE_HDR_TO_12_BIT = bits == 12
    wide.save(buffer, quality=-1, chroma=444)
    pillow_heif.options.SAVE_HDR_TO_12_BIT = before
    return Sample(buffer.getvalue(), values.astype(np.float64), 3)


SAMPLES["heif_of_10_bits"] = lambda: _deep_heif(10)
SAMPLES["heif_of_12_bits"] = lambda: _deep_heif(12)


@sample
def heif_of_several_photos() -> Sample:
    """The primary one counts, which is not the first; each has a thumbnail."""
    file = pillow_heif.from_pillow(picture(255 - flat(3), "RGB"))
    file.add_from_pillow(picture(flat(3), "RGB"))
    buffer = io.BytesIO()
    file.save(buffer, quality=-1, chroma=444, primary_index=1, thumbnails=[32])
    return Sample(buffer.getvalue(), flat(3).astype(np.float64), 3)


@sample
def avif_of_several_frames() -> Sample:
    others = [picture(255 - flat(3), "RGB")]
    data = encoded(picture(flat(3), "RGB"), "AVIF", save_all=True, append_images=others)
    return Sample(data, flat(3).astype(np.float64), 3)


@sample
def palette_with_alphas() -> Sample:
    image, numbers, colors = _palette()
    alphas = np.random.default_rng(2).integers(0, 256, 256)
    data = encoded(image, "PNG", transparency=alphas.astype(np.uint8).tobytes())
    return Sample(data, over_white(colors[numbers], alphas[numbers][..., None]), 0.51)


@sample
def palette_with_one_clear_color() -> Sample:
    image, numbers, colors = _palette()
    clear = int(numbers[0, 0])
    expected = np.where((numbers == clear)[..., None], 255, colors[numbers])
    return Sample(encoded(image, "PNG", transparency=clear), expected.astype(np.float64))


@sample
def gif_with_a_clear_color() -> Sample:
    image, numbers, colors = _palette()
    clear = int(numbers[0, 0])
    expected = np.where((numbers == clear)[..., None], 255, colors[numbers])
    return Sample(encoded(image, "GIF", transparency=clear), expected.astype(np.float64))


@sample
def palette_with_alpha_channel_tiff() -> Sample:
    image, numbers, colors = _palette()
    alpha = flat(1, seed=3)
    both = Image.new("PA", image.size)
    both.putpalette(colors.astype(np.uint8).tobytes())
    both.putdata(list(zip(numbers.ravel().tolist(), alpha.ravel().tolist(), strict=True)))
    return Sample(encoded(both, "TIFF"), over_white(colors[numbers], alpha), 0.51)


@sample
def premultiplied_grey_tiff() -> Sample:
    alpha = flat(1, seed=3).clip(60)
    values = (flat(1) * alpha / 255).round()
    both = np.concatenate([values, alpha], axis=-1).astype(np.uint8)
    data = tiff(both.tobytes(), (WIDE, HIGH), order="<", bits=(8, 8), tags={262: 1, 338: 1})
    return Sample(data, grey(values + 255 - alpha), 1.01)


def _packed(values: Array, depth: int) -> list[bytes]:
    bits = np.unpackbits(values.astype(np.uint8)[..., None], axis=-1)[..., 8 - depth :]
    return [np.packbits(row).tobytes() for row in bits]


def _keyed(depth: int) -> Sample:
    values = flat(1, levels=1 << depth)
    key = int(values[0, 0, 0])
    rows = _packed(values[..., 0], depth)
    data = png(rows, WIDE, depth=depth, color=0, extra=chunk(b"tRNS", struct.pack(">H", key)))
    return Sample(data, np.where(values == key, 255.0, grey(values * 255 // ((1 << depth) - 1))))


for _depth in (1, 2, 4, 8):
    SAMPLES[f"grey_of_{_depth}_bits_with_a_clear_level"] = lambda depth=_depth: _keyed(depth)  # type: ignore[misc]


@sample
def sixteen_bit_grey_with_a_clear_level() -> Sample:
    values = flat(1, levels=65_536)
    key = int(values[0, 0, 0])
    rows = [row.astype(">u2").tobytes() for row in values[..., 0]]
    data = png(rows, WIDE, depth=16, color=0, extra=chunk(b"tRNS", struct.pack(">H", key)))
    return Sample(data, np.where(values == key, 255.0, grey(values / 257.0)), 0.51)


@sample
def rgb_with_a_clear_color() -> Sample:
    values = flat(3)
    key = values[0, 0]
    data = encoded(picture(values, "RGB"), "PNG", transparency=tuple(key.tolist()))
    return Sample(data, np.where((values == key).all(axis=-1, keepdims=True), 255.0, values))


@sample
def sixteen_bit_rgb() -> Sample:
    values = flat(3, levels=65_536)
    rows = [row.astype(">u2").tobytes() for row in values]
    return Sample(png(rows, WIDE, depth=16, color=2), values // 256 * 1.0)


@sample
def sixteen_bit_rgb_with_a_clear_color() -> Sample:
    values = flat(3, levels=65_536)
    key = values[0, 0]
    rows = [row.astype(">u2").tobytes() for row in values]
    data = png(rows, WIDE, depth=16, color=2, extra=chunk(b"tRNS", struct.pack(">HHH", *key)))
    return Sample(data, np.where((values == key).all(axis=-1, keepdims=True), 255.0, values // 256))


@sample
def sixteen_bit_rgba() -> Sample:
    values = flat(4, levels=65_536)
    rows = [row.astype(">u2").tobytes() for row in values]
    high = values // 256
    return Sample(png(rows, WIDE, depth=16, color=6), over_white(high[..., :3], high[..., 3:]), 0.51)


@sample
def sixteen_bit_grey_png() -> Sample:
    values = flat(1, levels=65_536)
    rows = [row.astype(">u2").tobytes() for row in values[..., 0]]
    return Sample(png(rows, WIDE, depth=16, color=0), grey(values / 257.0), 0.51)


def _sixteen_bit_tiff(order: str) -> Sample:
    values = flat(1, levels=65_536)
    content = values.astype(order + "u2").tobytes()
    data = tiff(content, (WIDE, HIGH), order=order, bits=(16,), tags={262: 1})
    return Sample(data, grey(values / 257.0), 0.51)


SAMPLES["sixteen_bit_grey_tiff_little"] = lambda: _sixteen_bit_tiff("<")
SAMPLES["sixteen_bit_grey_tiff_big"] = lambda: _sixteen_bit_tiff(">")


@sample
def twelve_bit_grey_tiff() -> Sample:
    values = flat(1, levels=4096)
    a, b = values[:, ::2, 0], values[:, 1::2, 0]
    packed = np.stack([a >> 4, (a & 15) << 4 | b >> 8, b & 255], axis=-1).astype(np.uint8)
    data = tiff(packed.tobytes(), (WIDE, HIGH), order="<", bits=(12,), tags={262: 1})
    return Sample(data, grey(values * 255 / 4095), 0.51)


def _typed_tiff(values: Array, kind: str, expected: Array) -> Sample:
    image = Image.fromarray(values[..., 0].astype(kind))
    return Sample(encoded(image, "TIFF"), grey(expected).clip(0, 255), 0.51)


_WIDE_RANGE = flat(1, levels=70_000) - 2000
SAMPLES["integers_as_of_16_bits_tiff"] = lambda: _typed_tiff(
    flat(1, levels=65_536), "i4", flat(1, levels=65_536) / 257
)
SAMPLES["integers_beyond_tiff"] = lambda: _typed_tiff(
    _WIDE_RANGE, "i4", _WIDE_RANGE * 255 / max(65_535, _WIDE_RANGE.max())
)
SAMPLES["floats_to_1_tiff"] = lambda: _typed_tiff(flat(1) / 255, "f4", flat(1))
SAMPLES["floats_to_255_tiff"] = lambda: _typed_tiff(flat(1) * 1.0, "f4", flat(1))
SAMPLES["floats_to_65535_tiff"] = lambda: _typed_tiff(
    flat(1, levels=65_536) * 1.0, "f4", flat(1, levels=65_536) / 257
)


@sample
def floats_that_are_no_numbers_tiff() -> Sample:
    values = flat(1) / 255
    values[:8] = np.nan
    values[8:16] = -np.inf
    expected = np.nan_to_num(values, neginf=0) * 255
    return _typed_tiff(values, "f4", expected)


@sample
def cmyk_tiff() -> Sample:
    inks = flat(4)
    return Sample(encoded(picture(inks, "CMYK"), "TIFF"), from_inks(inks), 1.01)


@sample
def cmyk_jpeg_inverted_after_adobe() -> Sample:
    inks = flat(4)
    return Sample(encoded(picture(inks, "CMYK"), "JPEG", quality=100), from_inks(inks), 2)


@sample
def ycck_jpeg() -> Sample:
    inks = flat(4)
    stored = np.ascontiguousarray(255 - inks).astype(np.uint8)
    data = simplejpeg.encode_jpeg(stored, quality=100, colorspace="CMYK", colorsubsampling="444")
    assert simplejpeg.decode_jpeg_header(data)[2] == "YCCK"
    return Sample(data, from_inks(inks), 3)


@sample
def ycbcr_jpeg() -> Sample:
    data = encoded(picture(flat(3), "RGB"), "JPEG", quality=100, subsampling="4:4:4")
    return Sample(data, flat(3).astype(np.float64), 3)


@sample
def ycbcr_jpeg_subsampled_and_progressive() -> Sample:
    data = encoded(picture(flat(3), "RGB"), "JPEG", quality=100, subsampling="4:2:0", progressive=True)
    expected = flat(3).astype(np.float64)
    inner = np.zeros((HIGH, WIDE, 1), dtype=bool)  # chroma runs over the edges of the squares
    for y in range(2, SQUARE - 2):
        for x in range(2, SQUARE - 2):
            inner[y::SQUARE, x::SQUARE] = True
    return Sample(data, np.where(inner, expected, np.nan), 3)


@sample
def grey_jpeg() -> Sample:
    return Sample(encoded(picture(flat(1), "L"), "JPEG", quality=100), grey(flat(1)), 2)


@sample
def ycbcr_tiff() -> Sample:
    ycc = flat(3)
    return Sample(encoded(picture(ycc, "YCbCr"), "TIFF"), from_ycc(ycc), 2)


@sample
def lab_tiff() -> Sample:
    rgb = picture(flat(3), "RGB")
    to_lab = ImageCms.buildTransform(
        ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB"
    )
    image = ImageCms.applyTransform(rgb, to_lab)
    assert image is not None
    stored = np.asarray(image)  # a* and b* as signed bytes
    lab = np.stack([stored[..., 0] * (100 / 255), *np.moveaxis(stored[..., 1:].view(np.int8), -1, 0)], -1)
    return Sample(encoded(image, "TIFF"), from_lab(lab), 3)


def _animated(form: str) -> Sample:
    first, second = picture(flat(3), "RGB"), picture(flat(3, seed=9), "RGB")
    if form == "GIF":
        first, second = first.quantize(256), second.quantize(256)
    options = {"lossless": True} if form == "WEBP" else {"quality": 100, "subsampling": 0}
    chosen = options if form in ("WEBP", "MPO") else {}
    data = encoded(first, form, save_all=True, append_images=[second], **chosen)
    with Image.open(io.BytesIO(data)) as image:
        assert image.n_frames == 2  # type: ignore[attr-defined]
    return Sample(data, flat(3).astype(np.float64), 3 if form == "MPO" else 0)


_several("first_frame", ("GIF", "WEBP", "PNG", "MPO"), _animated)
