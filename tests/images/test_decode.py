"""Decoding and cutting, against plain Pillow."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from googlenet.architecture.dialects import Fit, Preprocessing
from googlenet.base.errors import ImageError
from googlenet.images import decode, png


def encoded(picture: Image.Image, form: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, form, **options)  # type: ignore[arg-type]
    return buffer.getvalue()


def gradient(width: int = 120, height: int = 80) -> Image.Image:
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return Image.fromarray(np.stack([x, y, 255 - x], axis=2).astype(np.uint8))


def test_preprocess_is_a_center_crop_and_one_resize() -> None:
    found = decode.preprocess(encoded(gradient()), Preprocessing(size=64, crop=0.5))
    expected = gradient().resize((64, 64), Image.Resampling.BICUBIC, box=(40, 20, 80, 60))
    np.testing.assert_array_equal(found, np.asarray(expected))


@pytest.mark.parametrize("size", [(120, 80), (80, 120), (384, 96), (96, 384), (7, 300)])
def test_pad_shows_all_of_a_photo_between_bars(size: tuple[int, int]) -> None:
    kind = Preprocessing(size=64, crop=1.0, fit="pad")
    found = decode.preprocess(encoded(gradient(*size)), kind)
    side = max(size)
    color = tuple(round(255 * each) for each in kind.mean)
    square = Image.new("RGB", (side, side), color)
    square.paste(gradient(*size), ((side - size[0]) // 2, (side - size[1]) // 2))
    expected = np.asarray(square.resize((64, 64), Image.Resampling.BICUBIC)).astype(int)
    away = np.abs(found.astype(int) - expected)
    wide, high = (round(64 * length / side) for length in size)
    x, y = (64 - wide) // 2, (64 - high) // 2
    inside = away[y + 2 : y + high - 2, x + 2 : x + wide - 2]
    assert inside.size == 0 or np.median(inside) <= 3  # half a pixel of shift at most
    bars = np.ones((64, 64), bool)
    bars[max(0, y - 2) : y + high + 2, max(0, x - 2) : x + wide + 2] = False
    assert (found[bars] == color).all()


def test_a_crop_of_a_padded_photo_is_of_the_square() -> None:
    found = decode.preprocess(encoded(gradient(100, 50)), Preprocessing(size=80, crop=0.5, fit="pad"))
    expected = decode.preprocess(encoded(gradient(100, 50)), Preprocessing(size=80, crop=1.0))
    np.testing.assert_array_equal(found, expected)  # half of 100 is all of 50


def test_interpolation_is_the_one_asked_for() -> None:
    kind = Preprocessing(size=64, crop=0.5, interpolation="bilinear")
    found = decode.preprocess(encoded(gradient()), kind)
    expected = gradient().resize((64, 64), Image.Resampling.BILINEAR, box=(40, 20, 80, 60))
    np.testing.assert_array_equal(found, np.asarray(expected))


@pytest.mark.parametrize("crop, box", [(1.0, (0, 0, 120, 80)), (0.5, (30, 20, 90, 60))])
def test_warp_takes_the_same_share_of_both_sides(crop: float, box: tuple[float, float, float, float]) -> None:
    found = decode.preprocess(encoded(gradient()), Preprocessing(size=64, crop=crop, fit="squash"))
    expected = gradient().resize((64, 64), Image.Resampling.BICUBIC, box=box)
    np.testing.assert_array_equal(found, np.asarray(expected))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_gives_the_upright_picture(orientation: int) -> None:
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = gradient().transpose(undo[orientation]) if orientation in undo else gradient()
    exif = Image.Exif()
    exif[0x0112] = orientation
    expected = decode.preprocess(encoded(gradient()), Preprocessing(size=64))
    for form in ("PNG", "TIFF"):
        data = encoded(stored, form, exif=exif)
        np.testing.assert_array_equal(decode.preprocess(data, Preprocessing(size=64)), expected)
        assert decode.upright_size(decode.open_image(data)) == (120, 80)


def test_scaled_decoding_stays_close_to_full_decoding() -> None:
    big = gradient(1600, 1200)
    data = encoded(big, "JPEG", quality=95)
    found = decode.preprocess(data, Preprocessing(size=128)).astype(int)
    side = 0.875 * 1200
    box = (800 - side / 2, 600 - side / 2, 800 + side / 2, 600 + side / 2)
    expected = np.asarray(big.resize((128, 128), Image.Resampling.BICUBIC, box=box)).astype(int)
    assert np.abs(found - expected).mean() < 1.0
    assert np.abs(found - expected).max() <= 6


@pytest.mark.parametrize("fit", ["crop", "squash", "pad"])
def test_scaled_decoding_keeps_a_pixel_for_each_output_pixel(
    monkeypatch: pytest.MonkeyPatch, fit: Fit
) -> None:
    seen = []
    real = Image.Image.resize

    def watch(self: Image.Image, size: tuple[int, int], *args: object, **options: object) -> Image.Image:
        seen.append((self.size, options["box"]))
        return real(self, size, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Image.Image, "resize", watch)
    decode.preprocess(
        encoded(gradient(1000, 750), "JPEG"),
        Preprocessing(size=128, crop=0.875 if fit != "pad" else 1.0, fit=fit),
    )
    size, box = seen[0]
    assert size < (1000, 750)
    assert min(box[2] - box[0], box[3] - box[1]) >= (128 if fit != "pad" else 96)
    assert (box[2] - box[0]) / (box[3] - box[1]) == pytest.approx(1 if fit == "crop" else 4 / 3, rel=0.01)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "YCbCr"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    if mode == "I;16":
        picture = Image.fromarray(np.asarray(gradient().convert("L")).astype(np.uint16) * 257)
    else:
        picture = gradient().convert(mode)
    form = "TIFF" if mode in ("CMYK", "YCbCr") else "PNG"
    found = decode.preprocess(encoded(picture, form), Preprocessing(size=64))
    assert found.shape == (64, 64, 3)
    assert found.dtype == np.uint8
    assert found.std() > 20


def test_sixteen_bits_keep_their_levels() -> None:
    ramp = np.tile(np.arange(256, dtype=np.uint16) * 257, (256, 1))
    found = decode.preprocess(encoded(Image.fromarray(ramp)), Preprocessing(size=256, crop=1.0))
    assert len(np.unique(found)) >= 250


def test_transparent_is_white() -> None:
    clear = Image.new("RGBA", (70, 70), (0, 0, 0, 0))
    assert decode.preprocess(encoded(clear), Preprocessing(size=64)).min() == 255


@pytest.mark.parametrize(
    "data, code",
    [
        (b"", "empty"),
        (b"<html>not a photo</html>", "format"),
        (encoded(gradient(), "PPM"), "format"),
        (encoded(gradient(), "JPEG")[:-400], "truncated"),
        (encoded(gradient(), "PNG")[:200], "truncated"),
        (encoded(gradient(), "PNG")[:40], "truncated"),
    ],
)
def test_bad_files_have_a_reason_code(data: bytes, code: str) -> None:
    with pytest.raises(ImageError) as caught:
        decode.preprocess(data, Preprocessing(size=64))
    assert caught.value.code == code
    with pytest.raises(ImageError):
        decode.decode(data)


LONG = "x" * 1_500_000  # more than Pillow takes


def noted(*texts: str, **options: object) -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    for keyword in texts:
        info.add_itxt(keyword, LONG + '<x tiff:Orientation="6"/>' + LONG, **options)  # type: ignore[arg-type]
    return info


@pytest.mark.parametrize("zip", [False, True])
@pytest.mark.parametrize("keyword", ["Comment", "XML:com.adobe.xmp"])
def test_a_long_text_does_no_harm_to_a_png(keyword: str, zip: bool) -> None:
    content = encoded(gradient(), pnginfo=noted(keyword, zip=zip))
    turned = keyword != "Comment"
    expected = np.asarray(gradient().transpose(Image.Transpose.ROTATE_270) if turned else gradient())
    np.testing.assert_array_equal(decode.decode(content), expected)
    assert decode.upright_size(decode.open_image(content)) == ((80, 120) if turned else (120, 80))


def test_a_long_color_profile_does_no_harm_to_a_png() -> None:
    profile = np.random.default_rng(0).bytes(1_500_000)
    content = encoded(gradient(), icc_profile=profile)
    with pytest.raises(ValueError, match="too large"):  # else this test says nothing
        Image.open(io.BytesIO(content)).load()
    np.testing.assert_array_equal(decode.decode(content), np.asarray(gradient()))


def test_of_many_texts_one_is_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    info = noted(*["XML:com.adobe.xmp"] * 5, zip=True)
    seen: list[object] = []
    real = png._orientation
    monkeypatch.setattr(png, "_orientation", lambda *given: seen.append(given) or real(*given))
    assert decode.decode(encoded(gradient(), pnginfo=info)).shape == (120, 80, 3)
    assert len(seen) == 1


def test_a_png_without_texts_is_not_copied() -> None:
    content = encoded(gradient())
    assert png.checked(content) is content


def test_missing_file_is_unreadable(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="unreadable: no such file"):
        decode.read_bytes(tmp_path / "none.jpg")


def test_thin_strips_do_not_explode() -> None:
    strip = Image.new("RGB", (1, 20_000), (10, 20, 30))
    assert decode.preprocess(encoded(strip), Preprocessing(size=64)).shape == (64, 64, 3)


def test_real_photos(test_data: Path) -> None:
    photos = sorted((test_data / "photos").iterdir())
    assert len(photos) == 100
    for path in photos:
        assert decode.preprocess(path.read_bytes(), Preprocessing(size=96)).shape == (96, 96, 3)
