"""The 144 crops against a slow, literal version in plain Pillow."""

import io
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image, ImageFile, ImageOps

from googlenet.architecture.dialects import Preprocessing
from googlenet.base.errors import ImageError, InputError
from googlenet.images import crops, decode
from googlenet.images.crops import ALL, ONE, TEN, VIEWS_10, VIEWS_144, View, crop_all, crop_views

KIND = Preprocessing(size=64)


def picture(width: int, height: int) -> Image.Image:
    """Noise over a slope: no two crops of it are alike."""
    x, y = np.meshgrid(np.linspace(0, 200, width), np.linspace(0, 200, height))
    noise = np.random.default_rng(width + 1000 * height).integers(0, 56, (height, width, 3))
    return Image.fromarray((np.stack([x, y, 200 - x], axis=2) + noise).astype(np.uint8))


def encoded(photo: Image.Image, form: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    photo.save(buffer, form, **options)  # type: ignore[arg-type]
    return buffer.getvalue()


def literal(photo: Image.Image, size: int, how: Image.Resampling) -> Iterator[np.ndarray]:
    """Section 7 word for word, everything done anew for each crop."""
    for scale in (256, 288, 320, 352):
        for square in range(3):
            for place in range(6):
                for mirrored in (False, True):
                    side = round(scale * size / 224)
                    width, height = photo.size
                    if width >= height:
                        resized = photo.resize((round(width * side / height), side), how)
                        start = (0, (resized.width - side) // 2, resized.width - side)[square]
                        cut = resized.crop((start, 0, start + side, side))
                    else:
                        resized = photo.resize((side, round(height * side / width)), how)
                        start = (0, (resized.height - side) // 2, resized.height - side)[square]
                        cut = resized.crop((0, start, side, start + side))
                    far, mid = side - size, (side - size) // 2
                    if place == 5:
                        cut = cut.resize((size, size), how)
                    else:
                        left, top = ((0, 0), (far, 0), (0, far), (far, far), (mid, mid))[place]
                        cut = cut.crop((left, top, left + size, top + size))
                    yield np.asarray(ImageOps.mirror(cut) if mirrored else cut)


@pytest.mark.parametrize(
    "width, height", [(300, 211), (211, 300), (240, 240), (20, 700), (700, 20), (1, 1), (3, 500), (900, 640)]
)
@pytest.mark.parametrize("size", [64, 99])
def test_crops_are_those_of_a_literal_version(width: int, height: int, size: int) -> None:
    photo = picture(width, height)
    how = "bilinear" if size == 99 else "bicubic"
    found = crop_views(photo, Preprocessing(size=size, interpolation=how), VIEWS_144)
    expected = np.stack(list(literal(photo, size, decode.RESAMPLING[how])))
    np.testing.assert_array_equal(found, expected)


def test_crops_of_224_pixels_are_those_of_a_literal_version() -> None:
    photo = picture(400, 300)
    found = crop_views(photo, Preprocessing(), VIEWS_144)
    np.testing.assert_array_equal(found, np.stack(list(literal(photo, 224, Image.Resampling.BICUBIC))))


def test_places_by_their_pixels() -> None:
    """At 256 pixels nothing is resized, so that the crops of 224 are parts of the photo itself."""
    for turned in (False, True):
        pixels = np.asarray(picture(512, 256))
        pixels = pixels.transpose(1, 0, 2).copy() if turned else pixels
        for square, place, left, top in (
            ("left/top", "top left", 0, 0),
            ("left/top", "bottom right", 32, 32),
            ("center", "center", 144, 16),
            ("right/bottom", "top right", 288, 0),
            ("right/bottom", "bottom left", 256, 32),
        ):
            if turned:  # the square moves down instead of to the right, the place in it stays
                offset = {"left/top": 0, "center": 128, "right/bottom": 256}[square]
                left, top = left - offset, top + offset
            part = pixels[top : top + 224, left : left + 224]
            views = [View(256, square, place, False), View(256, square, place, True)]
            plain, mirrored = crop_views(Image.fromarray(pixels), Preprocessing(), views)
            np.testing.assert_array_equal(plain, part)
            np.testing.assert_array_equal(mirrored, part[:, ::-1])


@pytest.mark.parametrize("scale", [256, 352])
def test_a_model_of_stretched_photos_is_given_stretched_crops(scale: int) -> None:
    """As Caffe's ten crops: the photo resized to a square whatever its shape, then cut."""
    photo = picture(300, 180)
    stretched = np.asarray(photo.resize((scale, scale), Image.Resampling.BICUBIC))
    views = [View(scale, square, "top right", False) for square in ("left/top", "center", "right/bottom")]
    for crop in crop_views(photo, Preprocessing(fit="squash"), views):
        np.testing.assert_array_equal(crop, stretched[:224, scale - 224 :])


def test_there_are_144_and_10_of_them() -> None:
    assert len(set(VIEWS_144)) == len({view.name for view in VIEWS_144}) == ALL.count == 144
    assert len(VIEWS_10) == TEN.count == 10
    assert set(VIEWS_10) < set(VIEWS_144)
    assert {(view.scale, view.square) for view in VIEWS_10} == {(256, "center")}
    assert View(256, "center", "top left", True).name == "256 center, top left, mirrored"


def test_views_come_in_the_order_asked_for() -> None:
    photo = picture(150, 100)
    every = crop_views(photo, KIND, VIEWS_144)
    some = (100, 3, 57, 143, 2)
    found = crop_views(photo, KIND, [VIEWS_144[number] for number in some])
    np.testing.assert_array_equal(found, every[list(some)])


def test_ensembles_and_144_crops_decode_a_photo_once(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = []
    real = ImageFile.ImageFile.load

    def watch(self: ImageFile.ImageFile) -> object:
        if self.tile:  # what is still to be decoded
            decoded.append(self.size)
        return real(self)

    monkeypatch.setattr(ImageFile.ImageFile, "load", watch)
    kinds = [KIND, Preprocessing(size=96, fit="squash")]
    found = crop_all(encoded(picture(600, 450), "JPEG"), kinds, (None, *VIEWS_144))
    assert decoded == [(600, 450)]
    assert [found[kind].shape for kind in kinds] == [(145, 64, 64, 3), (145, 96, 96, 3)]


@pytest.mark.parametrize(
    "kind", [KIND, Preprocessing(size=70, crop=0.5, fit="squash", interpolation="bilinear")]
)
def test_own_crop_stays_what_it_is(kind: Preprocessing) -> None:
    for data in (encoded(picture(501, 340)), encoded(picture(70, 90), "JPEG")):
        alone = crop_all(data, [kind], ONE.views)[kind]
        np.testing.assert_array_equal(alone, decode.preprocess(data, kind)[None])
        beside = crop_all(data, [kind], (*VIEWS_10, None))[kind][-1:]
        np.testing.assert_array_equal(beside, alone)


def test_own_crop_of_a_large_jpeg_is_close_beside_others() -> None:
    smooth = Image.fromarray(np.asarray(picture(8, 6))).resize((1200, 900), Image.Resampling.BICUBIC)
    data = encoded(smooth, "JPEG", quality=95)
    alone = crop_all(data, [KIND], ONE.views)[KIND].astype(int)
    beside = crop_all(data, [KIND], (None, *VIEWS_10))[KIND][:1].astype(int)
    assert np.abs(alone - beside).mean() < 1.0


def test_turned_photos_are_cut_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rows are stored as columns
    photo = picture(120, 80)
    stored = encoded(photo.transpose(Image.Transpose.ROTATE_90), "PNG", exif=exif)
    found = crop_all(stored, [KIND], VIEWS_144)[KIND]
    np.testing.assert_array_equal(found, crop_views(photo, KIND, VIEWS_144))


@pytest.mark.parametrize("width, height", [(1, 60_000), (60_000, 1)])
def test_slivers_are_refused_in_one_line(width: int, height: int) -> None:
    data = encoded(Image.new("RGB", (width, height)))
    with pytest.raises(ImageError, match=f"^size: {width}x{height} is too narrow for crops.*") as caught:
        crop_all(data, [Preprocessing()], VIEWS_10)
    assert caught.value.code == "size"
    assert "\n" not in str(caught.value)
    assert crop_all(data, [KIND], ONE.views)[KIND].shape == (1, 64, 64, 3)


def test_truncated_files_are_image_errors() -> None:
    with pytest.raises(ImageError, match="truncated"):
        crop_all(encoded(picture(90, 90), "JPEG")[:-300], [KIND], VIEWS_10)


def test_parse() -> None:
    assert [crops.parse_crops(text) for text in ("1", "10", "144")] == [ONE, TEN, ALL]
    for text, count in (("greedy:1", 1), ("greedy:10", 10), ("greedy:144", 144)):
        found = crops.parse_crops(text)
        assert (found.name, found.count, found.views) == (text, count, ())


@pytest.mark.parametrize(
    "text", ["12", "0", "", "greedy", "greedy:", "greedy:0", "greedy:145", "greedy:-1", "greedy:1.5", "10 "]
)
def test_other_words_are_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"^expected --crops 1, 10, 144 or greedy:N .*, got '.*'$"):
        crops.parse_crops(text)
