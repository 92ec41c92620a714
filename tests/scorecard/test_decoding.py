"""The one decoder: colors, orientation, bombs, strange and damaged files (promises 13 to 16)."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from googlenet.architecture.dialects import Fit, Preprocessing
from googlenet.base.errors import ImageError
from googlenet.data import folder as data
from googlenet.export import calibration_data
from googlenet.files.metadata import ModelMetadata
from googlenet.images import crops, decode
from googlenet.images.formats import FORMATS
from googlenet.inference import predict
from googlenet.inference.paths import read
from googlenet.interpret import class_maps
from googlenet.training import augment
from googlenet.training.decision import recipe
from helpers import bombs
from helpers.card import Measured
from helpers.pictures import SAMPLES, SQUARE, encoded, flat, picture
from helpers.strangers import OUTSIDE, names, stranger

HERE = Path(__file__).parents[1] / "helpers"
NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (80, 104, 3)).astype(np.uint8))
Pixels = npt.NDArray[np.uint8]


@pytest.mark.promise(13)
@pytest.mark.parametrize("name", SAMPLES)
def test_colors_are_those_of_the_documented_arithmetic(name: str) -> None:
    found = SAMPLES[name]()
    pixels = decode.decode(found.data)
    assert pixels.dtype == np.uint8
    assert pixels.shape == found.expected.shape
    assert np.nanmax(np.abs(pixels - found.expected)) <= found.tolerance


@pytest.mark.promise(13)
def test_colors_are_the_same_in_bands(monkeypatch: pytest.MonkeyPatch, measured: Measured) -> None:
    whole = {name: decode.decode(make().data) for name, make in SAMPLES.items()}
    monkeypatch.setattr("googlenet.images.color.BAND", 5 * 96)
    for name, make in SAMPLES.items():
        np.testing.assert_array_equal(decode.decode(make().data), whole[name], err_msg=name)
    measured(f"{len(SAMPLES)} files of all modes and formats")


@pytest.mark.promise(13)
@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_sixteen_bits_keep_their_levels(form: str, measured: Measured) -> None:
    ramp = np.tile(np.linspace(0, 65_535, 1024).round().astype(np.uint16), (4, 1))
    levels = len(np.unique(decode.decode(encoded(Image.fromarray(ramp), form))))
    assert levels >= 250
    measured(f"a 16-bit ramp keeps {levels} of 256 levels")


@pytest.mark.promise(13)
@pytest.mark.parametrize("form", ["PNG", "TIFF", "BMP", "WEBP", "JPEG"])
def test_photos_are_as_another_library_reads_them(form: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 52, 3)).astype(np.uint8)
    smooth = cv2.GaussianBlur(cv2.resize(noise, (520, 400)), (0, 0), 5)
    data = encoded(Image.fromarray(smooth), form, **({"lossless": True} if form == "WEBP" else {}))
    other = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert np.abs(decode.decode(data).astype(int) - other).max() <= (3 if form == "JPEG" else 0)


def entered(*arguments: object) -> None:
    """In the place of a decoder that must not run."""
    pytest.fail("a decoder was entered")


def eight_ways(form: str) -> list[bytes]:
    """One photo as eight cameras wrote it; JPEG in squares, which turn without a loss."""
    upright = picture(flat(3), "RGB")
    undo = [None, 0, 3, 1, 5, 2, 6, 4]  # what puts the orientation back, by Pillow's numbers
    assert SQUARE % 16 == 0
    options = {"lossless": True} if form == "WEBP" else {"quality": 95, "subsampling": 0}
    files = []
    for orientation, turn in enumerate(undo, start=1):
        stored = upright if turn is None else upright.transpose(Image.Transpose(turn))
        exif = Image.Exif()
        exif[0x0112] = orientation
        # of HEIF and AVIF the encoder also makes `irot` and `imir` of it, which is where a phone says it
        files.append(encoded(stored, form, exif=exif, **(options if form in ("WEBP", "JPEG") else {})))
    return files


@dataclass
class Looking:
    """A predictor that keeps what it is shown."""

    preprocessing: Preprocessing
    classes: tuple[str, ...] = ("a", "b")
    metadata: ModelMetadata = field(init=False)
    seen: list[Pixels] = field(default_factory=list)

    def logits(self, images: Pixels) -> npt.NDArray[np.float32]:
        self.seen += list(images)
        return np.zeros((len(images), 2), dtype=np.float32)


@pytest.mark.promise(14)
@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "WEBP", "HEIF", "AVIF"])
@pytest.mark.parametrize(
    "kind",
    [Preprocessing(size=32, fit=fit) for fit in ("crop", "squash", "pad")],
    ids=["crop", "squash", "pad"],
)
def test_every_way_to_hold_the_camera_gives_the_same_input(
    tmp_path: Path, form: str, kind: Preprocessing, measured: Measured
) -> None:
    for number, content in enumerate(eight_ways(form)):
        for name in ("a", "b"):
            (tmp_path / name).mkdir(exist_ok=True)
            (tmp_path / name / f"{number}.jpg").write_bytes(content)
    _, index = data.open_class_folders(tmp_path)
    changed = augment.Augmentation(recipe.MODERN)

    def trained(content: bytes) -> Pixels:
        torch.manual_seed(3)
        return changed(content, 32)

    looking = Looking(kind)
    paths = [str(tmp_path / index.name(i)) for i in range(len(index))]
    list(predict.score_images(paths, read, looking, batch=3, workers=1))  # predict
    list(predict.score_images(range(len(index)), index.read, looking, batch=5, workers=2))  # evaluate
    reads = [index.read(i) for i in range(len(index))]
    ways = {
        "decode": [decode.decode(content) for content in reads],
        "predict and evaluate": looking.seen,
        "explain": [class_maps.photo_and_input(content, looking.preprocessing)[2][0] for content in reads],
        "calibrate": list(calibration_data.read_evenly(index.read, len(index), 16, kind)[0]),
        "ten crops": [crops.crop_all(content, [kind], crops.VIEWS_10)[kind] for content in reads],
        "train": [trained(content) for content in reads],
    }
    for way, seen in ways.items():
        assert len({pixels.tobytes() for pixels in seen}) == 1, way
        assert len({pixels.shape for pixels in seen}) == 1, way
    np.testing.assert_allclose(ways["decode"][0], flat(3), atol=4 if form in ("JPEG", "HEIF", "AVIF") else 0)
    measured(
        "8 orientations in JPEG, PNG, TIFF, WebP, HEIF and AVIF: the same bytes in training, evaluation, "
        "prediction, explanation, calibration"
    )


def test_damaged_exif_leaves_the_photo_as_it_is() -> None:
    plain = decode.decode(encoded(picture(flat(3), "RGB"), "JPEG"))
    for exif in (b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0rubbish", b"Exif\0\0", bombs.turned()[:20]):
        found = decode.decode(encoded(picture(flat(3), "RGB"), "JPEG", exif=exif))
        np.testing.assert_array_equal(found, plain)


def cost(name: str, way: str, folder: Path) -> dict[str, object]:
    """What a bomb costs a process that has nothing else to do."""
    path = folder / "bomb"
    path.write_bytes(bombs.ALL[name]())
    command = [sys.executable, str(HERE / "bombs.py"), str(path), way]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env={**os.environ})
    assert done.returncode == 0, done.stderr[-500:]
    return dict(json.loads(done.stdout))


@pytest.mark.promise(15)
@pytest.mark.parametrize(
    "name", ["png of 16 bits 6500x6500", "webp 6000x6000", "gif 65535x65535", "tiff in a huge tile"]
)
def test_bombs_are_refused_before_they_are_decoded(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    content = bombs.REFUSED[name]()
    monkeypatch.setattr(Image.Image, "load", entered)
    with pytest.raises(ImageError) as caught:
        decode.decode(content)
    assert caught.value.code == "size"


@pytest.mark.slow
@pytest.mark.promise(15)
@pytest.mark.parametrize("way", ["decode", "preprocess"])
@pytest.mark.parametrize("name", bombs.ALL)
def test_bombs_cost_little(name: str, way: str, tmp_path: Path, measured: Measured) -> None:
    found = cost(name, way, tmp_path)
    assert isinstance(found["said"], list)
    refused = name in bombs.REFUSED
    assert (found["said"][0] in ("size", "damaged", "truncated", "format")) == refused, found
    assert found["bytes"] < (50e6 if refused else 300e6), found  # type: ignore[operator]
    # the largest that are let through are work of half a second, of which a busy machine makes two
    assert found["seconds"] < (2 if name.startswith("largest") else 1), found  # type: ignore[operator]
    measured(f"{len(bombs.ALL)} files: refused, or under 300 MB; none over a second but the largest allowed")


@pytest.mark.promise(15)
@pytest.mark.parametrize("name", ["png 1x65000", "png 65000x1", "png 1x1", "jpeg 1x65000"])
@pytest.mark.parametrize("fit", ["crop", "squash", "pad"])
def test_slivers_become_squares(name: str, fit: Fit) -> None:
    content = bombs.BOUNDED[name]()
    assert decode.preprocess(content, Preprocessing(size=64, fit=fit)).shape == (64, 64, 3)
    torch.manual_seed(0)
    assert augment.Augmentation(replace(recipe.MODERN, fit=fit))(content, 64).shape == (64, 64, 3)


@pytest.mark.promise(15)
def test_a_photo_too_large_for_memory_comes_smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    content = encoded(picture(flat(3), "RGB").resize((1440, 960)), "JPEG")
    monkeypatch.setattr("googlenet.images.limits.MAX_BYTES", 1440 * 960 * 7 // 4 + 1000)
    assert decode.decode(content).shape == (480, 720, 3)
    monkeypatch.setattr("googlenet.images.limits.MAX_BYTES", 1440 * 960 * 7 // 65)
    with pytest.raises(ImageError, match="size: 1440x960 in JPEG would need"):
        decode.decode(content)


@pytest.mark.promise(15)
def test_a_photo_of_a_phone_comes_smaller_too(monkeypatch: pytest.MonkeyPatch) -> None:
    content = encoded(picture(flat(3), "RGB").resize((1440, 960)), "HEIF")
    whole = decode.decode(content)
    assert whole.shape == (960, 1440, 3)
    monkeypatch.setattr("googlenet.images.limits.MAX_BYTES", 1440 * 960 * 11)
    half = np.asarray(Image.fromarray(whole).reduce(2)).astype(int)
    assert np.abs(decode.decode(content) - half).max() <= 1
    monkeypatch.setattr("googlenet.images.limits.MAX_BYTES", 1440 * 960 * 10)
    with pytest.raises(ImageError, match="size: 1440x960 in HEIF would need"):
        decode.decode(content)


@pytest.mark.parametrize("form", ["HEIF", "AVIF"])
def test_brands_decide_between_containers(form: str) -> None:
    content = encoded(picture(flat(3), "RGB"), form)
    end = int.from_bytes(content[:4], "big")
    assert end >= 20
    as_any = content[:8] + b"mif1" + content[12:]  # phones' own way for bursts, and some editors'
    np.testing.assert_array_equal(decode.decode(as_any), decode.decode(content))
    with pytest.raises(ImageError, match="a video or photo in an MP4 container"):
        decode.decode(content[:8] + b"isom" + content[12:])


def test_a_sequence_without_a_photo_is_damaged() -> None:
    content = encoded(picture(flat(3), "RGB"), "HEIF")
    end = int.from_bytes(content[:4], "big")
    for brand in (b"hevc", b"msf1"):
        with pytest.raises(ImageError) as caught:
            decode.decode(content[:8] + brand + content[12:end] + b"\0\0\0\x08moov")
        assert caught.value.code in ("damaged", "truncated")


def test_a_phone_photo_without_its_decoder_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    content = encoded(picture(flat(3), "RGB"), "HEIF")
    monkeypatch.setattr("googlenet.images.heif.INSTALLED", False)
    with pytest.raises(ImageError, match=r"format: this is a HEIC photo, .*: pip install pi-heif"):
        decode.decode(content)


@pytest.mark.promise(15)
def test_endless_and_enormous_files_are_not_read(tmp_path: Path) -> None:
    with (tmp_path / "large.jpg").open("wb") as file:
        file.truncate(10**12)
    with pytest.raises(ImageError, match="size: 1000000000000 bytes are more than"):
        decode.read_bytes(tmp_path / "large.jpg")


@pytest.fixture
def no_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail if any of Pillow's decoders is entered, of whatever format."""
    Image.init()
    for name in list(Image.OPEN):
        monkeypatch.setitem(Image.OPEN, name, (entered, lambda prefix: True))


@pytest.mark.promise(16)
@pytest.mark.parametrize("name", names())
def test_other_formats_meet_no_decoder(name: str, no_decoder: None, measured: Measured) -> None:
    with pytest.raises(ImageError) as caught:
        decode.decode(stranger(name))
    assert caught.value.code == "format"
    assert all(form in caught.value.reason for form in FORMATS)
    measured(f"{len(names())} other formats that Pillow opens, none entered")


@pytest.mark.promise(16)
@pytest.mark.parametrize("name", names())
def test_the_samples_of_other_formats_would_be_accepted(name: str) -> None:
    Image.init()
    accept = Image.OPEN[name][1]
    assert accept is None or accept(stranger(name)[:16])


@pytest.mark.promise(16)
@pytest.mark.parametrize("seems", OUTSIDE)
def test_what_is_no_photo_is_named(seems: str, no_decoder: None) -> None:
    with pytest.raises(ImageError) as caught:
        decode.decode(OUTSIDE[seems])
    assert caught.value.code == "format"
    assert seems in caught.value.reason


@pytest.mark.promise(16)
@pytest.mark.parametrize("form", FORMATS)
def test_only_the_decoder_of_the_first_bytes_is_entered(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    content = encoded(picture(flat(3), "RGB"), form)
    Image.init()
    for name in set(Image.OPEN) - {form}:
        monkeypatch.setitem(Image.OPEN, name, (entered, lambda prefix: True))
    assert decode.decode(content).shape == (64, 96, 3)


def test_damage_that_decodes_is_told() -> None:
    content = encoded(NOISE, "JPEG")
    assert decode.strict_warning(decode.open_image(content)) is None
    half = content[: len(content) * 2 // 3] + b"\xff\xd9"
    assert decode.decode(half).shape == (80, 104, 3)
    assert "premature end" in str(decode.strict_warning(decode.open_image(half))).lower()


def test_checksums_of_pixels_are_read() -> None:
    content = bytearray(encoded(picture(flat(3), "RGB"), "PNG", compress_level=0))
    content[len(content) // 2] ^= 1
    with pytest.raises(ImageError, match=r"damaged: the PNG chunk at byte \d+ fails its checksum"):
        decode.decode(bytes(content))


@pytest.mark.parametrize("form", FORMATS)
def test_a_file_cut_anywhere_is_truncated(form: str) -> None:
    options = {"compression": "tiff_lzw"} if form == "TIFF" else {}
    content = encoded(NOISE, form, **options)
    for share in (0.2, 0.5, 0.8, 0.95):
        with pytest.raises(ImageError) as caught:
            decode.decode(content[: int(len(content) * share)])
        assert caught.value.code == "truncated", (share, str(caught.value))


def mangle(seed: int, count: int) -> dict[str, object]:
    """Decode damaged files in another process, which a crash would take with it."""
    command = [sys.executable, str(HERE / "mangled.py"), str(seed), str(count)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stderr == ""
    return dict(json.loads(done.stdout))


def test_damaged_files_give_an_image_or_an_error() -> None:
    found = mangle(1, 200)
    assert found["slowest"] < 1  # type: ignore[operator]


@pytest.mark.slow
@pytest.mark.promise(15)
def test_thousands_of_damaged_files_give_an_image_or_an_error(measured: Measured) -> None:
    found = mangle(0, 5000)
    assert sum(found["found"].values()) == 5000  # type: ignore[attr-defined]
    assert found["slowest"] < 1  # type: ignore[operator]
    assert found["megabytes"] < 300  # type: ignore[operator]
    measured(f"5,000 damaged files, the slowest {found['slowest']:.2f} s")


BEGINNINGS = st.sampled_from(
    [
        *(b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\x40\0\0\0WEBP", b"GIF89a"),
        *(b"II*\0", b"MM\0*", b"BM"),
        b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
        b"\0\0\0\x18ftypavif\0\0\0\0mif1avif",
    ]
)


@settings(deadline=None, max_examples=200)
@given(BEGINNINGS, st.binary(max_size=300))
def test_any_bytes_give_an_image_or_an_error(beginning: bytes, rest: bytes) -> None:
    try:
        pixels = decode.decode(beginning + rest)
    except ImageError as error:
        assert error.code in ("empty", "format", "truncated", "damaged", "size")
    else:
        assert pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] == 3


SMALL = arrays.arrays(np.uint8, st.tuples(st.integers(1, 24), st.integers(1, 24), st.just(3)))


@settings(deadline=None, max_examples=60)
@given(SMALL, st.sampled_from(["PNG", "BMP", "TIFF", "WEBP"]), st.integers(1, 8))
def test_what_was_written_is_read(pixels: Pixels, form: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation if form != "BMP" else 1
    options = {"exif": exif} if form != "BMP" else {}
    options |= {"lossless": True} if form == "WEBP" else {}
    found = decode.decode(encoded(Image.fromarray(pixels), form, **options))
    rows, columns = {  # EXIF: where the stored first row and the stored first column are
        1: ("top", "left"), 2: ("top", "right"), 3: ("bottom", "right"), 4: ("bottom", "left"),
        5: ("left", "top"), 6: ("right", "top"), 7: ("right", "bottom"), 8: ("left", "bottom"),
    }[int(exif[0x0112])]  # fmt: skip
    expected = pixels.swapaxes(0, 1) if rows in ("left", "right") else pixels
    expected = expected[::-1] if "bottom" in (rows, columns) else expected
    expected = expected[:, ::-1] if "right" in (rows, columns) else expected
    np.testing.assert_array_equal(found, expected)


def test_decoding_in_threads_leaves_warnings_as_they_were() -> None:
    import warnings
    from concurrent.futures import ThreadPoolExecutor

    before = list(warnings.filters)
    files = [make().data for make in SAMPLES.values()]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(decode.decode, files * 3))
    assert list(warnings.filters) == before
