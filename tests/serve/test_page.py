"""The page in a real browser: photos chosen, dropped, pasted; map, badge, phone, keyboard."""

import csv
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import googlenet as package
from googlenet.export import export
from googlenet.nn import checkpoint
from helpers.models import save
from helpers.painting import COLORS, paint
from helpers.running import Running, exported_in

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytest.importorskip("playwright")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium")
HOSTILE = "<img src=x onerror=document.title='owned'>"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("served")
    net = package.load_network(save(folder / "model.safetensors", "bn"))
    card = replace(
        net.metadata, classes=(HOSTILE, "green", "red"), energy_threshold=-1e9
    )  # all is unfamiliar
    checkpoint.save(folder / "named.safetensors", net, card)
    export.export(folder / "named.safetensors", folder / "out", to="openvino")
    with Running(folder / "out") as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def page(browser, server: Running, request: pytest.FixtureRequest) -> Iterator[object]:
    options = getattr(request, "param", {})
    context = browser.new_context(accept_downloads=True, **options)
    found = context.new_page()
    wrong: list[str] = []
    found.on("pageerror", lambda error: wrong.append(str(error)))
    found.on(
        "request",
        lambda asked: (
            wrong.append(asked.url)
            if server.url not in asked.url and not asked.url.startswith(("data:", "blob:"))
            else None
        ),
    )
    found.goto(server.url)
    found.get_by_text("3 classes").first.wait_for()
    yield found
    context.close()
    assert not wrong, "an error on the page, or a request to elsewhere"


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("photos")
    found = [paint(folder / f"{name}.jpg", color, seed=i) for i, (name, color) in enumerate(COLORS.items())]
    (folder / "text.jpg").write_text("no photo")
    return [*found, folder / "text.jpg"]


def pixels(page) -> list[int]:
    """The picture as it is drawn, of the first answer."""
    found: list[int] = page.locator("canvas").first.evaluate(
        "c => Array.from(c.getContext('2d').getImageData(0, 0, c.width, c.height).data)"
    )
    return found


def test_photos_are_answered_like_a_program(
    page, server: Running, photos: list[Path], tmp_path: Path
) -> None:
    page.set_input_files("#file", photos)
    page.get_by_text("4 photos answered.").wait_for()
    cards = page.locator("article")
    assert cards.count() == 4
    assert (
        cards.nth(0).locator(".times").inner_text()
        == "No answer: expected JPEG, PNG, WEBP, BMP, GIF, TIFF, HEIF, AVIF; this seems to be text."
    )
    for i, photo in enumerate(reversed(photos[:3])):
        expected = server.json("POST", "/predictions/googlenet", photo.read_bytes())[1]
        card = cards.nth(i + 1)
        assert card.locator("h2").inner_text() == photo.name
        names = card.locator(".bars .name").all_inner_texts()
        assert names == list(expected)
        shown = card.locator(".bars button span:nth-child(2)").all_inner_texts()
        assert shown == [f"{100 * share:.1f} %" for share in expected.values()]
        assert card.locator(".badge").is_visible()
        assert "decoding" in card.locator(".times").inner_text()
    assert page.title() == "GoogLeNet" and page.locator("img[src=x]").count() == 0
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as CSV").click()
    download.value.save_as(tmp_path / "guesses.csv")
    rows = list(csv.DictReader((tmp_path / "guesses.csv").read_text(encoding="utf-8").splitlines()))
    assert len(rows) == 3 * 3 + 1 and rows[0]["photo"] == "red.jpg" and rows[0]["rank"] == "1"
    assert HOSTILE in {row["label"] for row in rows}
    page.get_by_role("button", name="Clear").click()
    assert cards.count() == 0


def test_the_map_moves_with_the_class_and_the_slider(page, photos: list[Path]) -> None:
    page.set_input_files("#file", photos[0])
    page.get_by_text("1 photo answered.").wait_for()
    first = pixels(page)
    page.locator(".bars button").nth(2).click()
    assert page.locator(".bars button").nth(2).get_attribute("aria-pressed") == "true"
    other = pixels(page)
    slider = page.get_by_role("slider")
    slider.focus()
    slider.press("Home")
    bare = pixels(page)
    assert first != bare or other != bare
    assert first != other
    seen = page.get_by_alt_text("What the network saw of red.jpg")
    assert seen.evaluate("image => image.naturalWidth") == 64


def test_a_photo_is_dropped_and_pasted(page, photos: list[Path]) -> None:
    content = list(photos[1].read_bytes())
    make = """bytes => {
        const found = new DataTransfer();
        found.items.add(new File([new Uint8Array(bytes)], 'x.jpg', {type: 'image/jpeg'}));
        return found;
    }"""
    transfer = page.evaluate_handle(make, content)
    page.dispatch_event("#drop", "drop", {"dataTransfer": transfer})
    page.get_by_text("1 photo answered.").wait_for()
    page.evaluate(
        "bytes => { const t = new DataTransfer(); t.items.add(new File([new Uint8Array(bytes)], 'y.jpg'));"
        " document.dispatchEvent(new ClipboardEvent('paste', {clipboardData: t})); }",
        content,
    )
    page.get_by_text("2 photos answered.").wait_for()
    assert page.locator("article h2").all_inner_texts() == ["y.jpg", "x.jpg"]


def test_by_keyboard_and_for_screen_readers(page, photos: list[Path]) -> None:
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "file"
    page.set_input_files("#file", photos[0])
    page.get_by_text("1 photo answered.").wait_for()
    assert page.locator("#status").get_attribute("aria-live") == "polite"
    reached = set()
    for _ in range(20):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate(
                "document.activeElement.textContent.trim().slice(0, 20) || document.activeElement.type"
            )
        )
    assert {"range", "Copy as curl", "Save as CSV", "Clear"} <= reached
    for image in page.locator("img").all():
        assert image.get_attribute("alt")
    assert page.locator("canvas").get_attribute("aria-label").startswith("The photo, with what speaks for ")
    assert page.locator("html").get_attribute("lang") == "en"


@pytest.mark.parametrize(
    "page", [{"viewport": {"width": 360, "height": 740}, "color_scheme": "dark"}], indirect=True
)
def test_on_a_phone_in_the_dark(page, photos: list[Path]) -> None:
    page.set_input_files("#file", photos[0])
    page.get_by_text("1 photo answered.").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor").removeprefix("rgb(").rstrip(")")
    assert sum(map(int, dark.split(","))) < 120


def test_a_token_can_be_given(browser, tmp_path: Path, photos: list[Path]) -> None:
    with Running(exported_in(tmp_path), environment={"GOOGLENET_TOKEN": "s3cret"}) as running:
        page = browser.new_page()
        page.goto(running.url)
        page.get_by_text("This server asks for a token.").wait_for()
        page.get_by_label("Token").fill("s3cret")
        page.get_by_label("Token").press("Enter")
        page.get_by_text("3 classes").first.wait_for()
        page.set_input_files("#file", photos[0])
        page.get_by_text("1 photo answered.").wait_for()
        assert page.locator(".bars .name").count() == 3
        page.close()
