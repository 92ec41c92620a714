"""Averages over crops and models, and the greedy choice, against loops written out by hand."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch

from googlenet.architecture.dialects import Preprocessing
from googlenet.base.errors import DataError, ImageError, InputError
from googlenet.calibration import ood
from googlenet.cli import main
from googlenet.data import folder as data
from googlenet.data.index import Index, content_sample
from googlenet.evaluation import multi_crop, scoring
from googlenet.evaluation.crop_selection import choose_crops, greedy_views
from googlenet.evaluation.ensemble import Ensemble
from googlenet.evaluation.metrics import compute_metrics
from googlenet.files.metadata import ModelMetadata
from googlenet.images import crops
from googlenet.images.crops import ALL, ONE, TEN, VIEWS_144, Crops, crop_views
from googlenet.images.decode import Pixels, decode_opened, open_image, preprocess
from googlenet.inference.predict import classify
from googlenet.inference.torch_classifier import Classifier
from googlenet.nn import checkpoint
from googlenet.nn.model import GoogLeNet, initialize_weights, network_input
from helpers.painting import COLORS, Run, paint

COLOR_NAMES = tuple(sorted(COLORS))


class Fake:
    """A predictor that looks at a few pixels; the corner makes every crop another matter."""

    def __init__(self, classes: tuple[str, ...] = COLOR_NAMES, *, size: int = 64, seed: int = 0) -> None:
        self.classes = classes
        self.preprocessing = Preprocessing(size=size)
        self.metadata = ModelMetadata(classes=classes, dialect="bn", preprocessing=self.preprocessing)
        self.batches: list[int] = []
        self._weights = np.random.default_rng(seed).normal(0, 2, (12, len(classes)))

    def logits(self, images: Pixels) -> np.ndarray:
        self.batches.append(len(images))
        places = images[:, [3, 10, 30, -5], [5, 40, 20, -9]].reshape(len(images), 12) / 255
        return (places @ self._weights).astype(np.float32)

    def __call__(self, images: Pixels) -> np.ndarray:
        powers = np.exp(self.logits(images) / self.metadata.temperature)
        return powers / powers.sum(axis=1, keepdims=True)


@pytest.fixture
def index(photos: Path) -> Index:
    """30 photos of three classes, one of them broken."""
    (photos / "green" / "4.jpg").write_bytes(b"\xff\xd8\xff nothing more")
    return data.open_class_folders(photos)[1]


def means(predictor: Fake | Classifier, index: Index, number: int, asked: Crops) -> np.ndarray:
    """Mean probabilities of one photo: a loop over its crops."""
    upright = decode_opened(open_image(index.read(number)))
    if asked == ONE:
        return predictor(np.stack([preprocess(index.read(number), predictor.preprocessing)]))[0]
    cuts = [crop_views(upright, predictor.preprocessing, [view])[0] for view in asked.views]
    return np.mean([predictor(cut[None])[0] for cut in cuts], axis=0)


def test_average(index: Index) -> None:
    first, second = Fake(seed=1), Fake(COLOR_NAMES[::-1], size=80, seed=2)
    ensemble = Ensemble({"first": first, "second": second})
    small = index.keep(np.array([0, 14, 25]))  # the broken one in the middle
    results = dict(ensemble.scores(small, (ONE, TEN, ALL), workers=2))
    assert isinstance(results.pop(1), ImageError)
    for number, result in results.items():
        for place, asked in enumerate((ONE, TEN, ALL)):
            alone = means(first, small, number, asked)
            other = means(second, small, number, asked)[::-1]
            np.testing.assert_allclose(result.probabilities[0, place], alone, atol=1e-6)
            np.testing.assert_allclose(result.probabilities[1, place], (alone + other) / 2, atol=1e-6)
    spread = results[0].probabilities[0].std(axis=0).max()
    assert spread > 0.01  # the protocols differ, or the comparison would be empty


def test_each_model_has_its_own_temperature(index: Index) -> None:
    """Beside the averages there are those without any temperature, and the first model's figures."""
    first, second = Fake(seed=1), Fake(seed=2)
    plain = dict(Ensemble({"a": first, "b": second}).scores(index, (ONE, TEN), workers=1))
    alone = [means(each, index, 0, TEN) for each in (first, second)]
    first.metadata, second.metadata = (
        replace(first.metadata, temperature=3.0),
        replace(second.metadata, temperature=0.5),
    )
    tempered = [means(each, index, 0, TEN) for each in (first, second)]
    (number, found), *_ = Ensemble({"a": first, "b": second}).scores(index, (ONE, TEN), workers=1)
    assert number == 0
    np.testing.assert_allclose(found.probabilities[1, 1], np.mean(tempered, axis=0), atol=1e-6)
    np.testing.assert_allclose(found.raw[1, 1], np.mean(alone, axis=0), atol=1e-6)
    np.testing.assert_array_equal(found.raw, plain[0].probabilities)
    upright = decode_opened(open_image(index.read(0)))
    own = crop_views(upright, first.preprocessing, [None])
    np.testing.assert_array_equal(found.figures, ood.image_statistics(own)[0])


def test_unfamiliar_is_what_predict_says_whatever_is_averaged(index: Index) -> None:
    fake = Fake(seed=1)
    answers = dict(Ensemble({"a": fake}).scores(index, (ONE,), workers=1))
    looks = np.array([x.figures for x in answers.values() if not isinstance(x, ImageError)])
    usual = ood.fit_detector(looks)
    assert usual is not None
    border = float(np.median(usual.distances(looks)))
    fake.metadata = replace(fake.metadata, familiar=replace(usual, threshold=border))
    paths = [str(index.root / index.name(n)) for n in range(len(index)) if index.name(n) != "green/4.jpg"]
    marks = [row.unfamiliar for row in classify(paths, fake, top=1)]
    assert 0 < np.mean(marks) < 1
    for members, asked in (({"a": fake}, ONE), ({"a": fake, "b": Fake(seed=2)}, TEN)):
        found = multi_crop.compare(Ensemble(members), index, asked).metrics
        assert found.unfamiliar == pytest.approx(np.mean(marks))
    assert multi_crop.compare(Ensemble({"b": Fake(seed=2)}), index, ONE).metrics.unfamiliar is None


def test_batches_are_bounded(index: Index) -> None:
    fake = Fake()
    multi_crop.compare(Ensemble({"a": fake}), index.keep(np.array([0, 1, 2])), ALL)
    assert sum(fake.batches) == 3 * 145  # the own crop and 144
    assert max(fake.batches) <= scoring.BATCH
    fake.batches.clear()
    multi_crop.compare(Ensemble({"a": fake}), index.keep(np.arange(10)), ONE)
    assert fake.batches == [10]


def real(classes: tuple[str, ...], dialect: str, size: int, seed: int) -> Classifier:
    """A network of random weights whose probabilities are neither even nor saturated."""
    torch.manual_seed(seed)
    net = GoogLeNet(len(classes), dialect_name=dialect).eval()
    initialize_weights(net, "he")
    kind = replace(net.dialect.preprocessing, size=size)
    colors = torch.tensor([COLORS[name] for name in COLOR_NAMES], dtype=torch.float32)
    noise = 25 * torch.randn(3, size, size, 3)
    with torch.inference_mode():
        logits = net(network_input((colors[:, None, None] + noise).clamp(0, 255).byte(), kind))
    net.classifier.bias.data -= logits.mean(dim=0)
    spread = float((logits - logits.mean(dim=0)).std())
    return Classifier(
        net, ModelMetadata(classes=classes, dialect=dialect, preprocessing=kind, temperature=spread)
    )


def test_ensemble_of_two_dialects_and_sizes_is_the_mean_of_both(index: Index) -> None:
    first = real(("red", "blue", "green"), "bn", 64, 1)
    second = real(("green", "red", "blue"), "torchvision", 96, 2)
    want = {"red": 0, "blue": 1, "green": 2}
    kept = data.remap_labels(index, have=COLOR_NAMES, want=first.classes, where="").keep(np.arange(8, 18))
    found = dict(Ensemble({"a": first, "b": second}).scores(kept, (ONE,), workers=1))
    expected = []
    for number in range(len(kept)):
        if kept.name(number) == "green/4.jpg":
            continue
        mine, theirs = means(first, kept, number, ONE), means(second, kept, number, ONE)
        by_name = dict(zip(second.classes, theirs, strict=True))
        expected.append([(mine[i] + by_name[name]) / 2 for name, i in want.items()])
    measured = [x.probabilities[1, 0] for x in found.values() if not isinstance(x, ImageError)]
    np.testing.assert_allclose(measured, expected, atol=1e-5)
    assert np.ptp(measured, axis=0).max() > 0.01
    comparison = multi_crop.compare(Ensemble({"a": first, "b": second}), kept, ONE)
    labels = np.array([want[kept.name(i).split("/")[0]] for i in range(10) if kept.name(i) != "green/4.jpg"])
    by_hand = compute_metrics(np.array(expected, dtype=np.float32), labels, first.classes, unreadable=1)
    assert comparison.metrics.confusion == by_hand.confusion
    assert comparison.metrics.loss == pytest.approx(by_hand.loss, abs=1e-5)
    assert comparison.metrics.unreadable == 1
    assert comparison.rows[1].top1_error == pytest.approx(1 - by_hand.top1)


def test_other_classes_are_refused_and_both_named() -> None:
    with pytest.raises(InputError) as caught:
        Ensemble({"runs/a": Fake(("cat", "dog")), "runs/b": Fake(("ant", "cat", "cow"))})
    said = str(caught.value)
    assert "runs/a with 'cat', 'dog'" in said
    assert "runs/b with 'ant', 'cat', 'cow'" in said
    assert "runs/b lacks 'dog'" in said
    assert "runs/a lacks 'ant', 'cow'" in said
    assert "\n" not in said
    many = tuple(f"n{i}" for i in range(1000))
    with pytest.raises(InputError, match="'n3', 'n4' and 995 more") as caught:
        Ensemble({"a": Fake(many), "b": Fake((*many, "x"))})
    assert "b lacks none, a lacks 'x'" in str(caught.value)


@pytest.mark.parametrize("asked", [ONE, TEN, ALL])
@pytest.mark.parametrize("models", [1, 2])
def test_table(index: Index, asked: Crops, models: int) -> None:
    members = {str(seed): Fake(seed=seed) for seed in range(models)}
    found = multi_crop.compare(Ensemble(members), index, asked)
    names = [name for name in ("1", "10", "144") if int(name) <= asked.count]
    sizes = [(group, name) for group in sorted({1, models}) for name in names]
    assert [(row.models, row.protocol) for row in found.rows] == sizes
    results = dict(Ensemble(members).scores(index, [ONE, TEN, ALL][: len(names)], workers=1))
    good = [n for n, result in results.items() if not isinstance(result, ImageError)]
    assert len(good) == 29
    base = found.rows[0]
    for i, row in enumerate(found.rows):
        assert row.crops == int(row.protocol)
        assert row.cost == row.models * row.crops
        guesses = np.array([results[n].probabilities[i // len(names), i % len(names)].argmax() for n in good])
        assert row.top1_error == pytest.approx((guesses != index.labels[good]).mean())
        assert row.top5_error == 0  # three classes
        assert row.top1_difference == pytest.approx(row.top1_error - base.top1_error)
    assert found.metrics.top1 == pytest.approx(1 - found.rows[-1].top1_error)
    assert found.metrics.unreadable == 1
    assert (len(found.rows) > 1) == ("protocols" in found.as_dict())


def test_top5_errors_of_many_classes(index: Index) -> None:
    many = tuple(f"c{i}" for i in range(9))
    fake = Fake(many)
    found = multi_crop.compare(Ensemble({"a": fake}), index, TEN)
    wrong = []
    for number in range(len(index)):
        if index.name(number) != "green/4.jpg":
            best = np.argsort(-means(fake, index, number, TEN))[:5]
            wrong.append(index.labels[number] not in best)
    assert 0 < np.mean(wrong) < 1
    assert found.rows[1].top5_error == pytest.approx(np.mean(wrong))
    assert found.metrics.top5 == pytest.approx(1 - np.mean(wrong))


def scores(seed: int, *, views: int = 12) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 4, 60)
    logits = generator.normal(size=(60, views, 4)) + 0.8 * np.eye(4)[labels][:, None]
    powers = np.exp(logits)
    return (powers / powers.sum(axis=2, keepdims=True)).astype(np.float32), labels


def hits(probabilities: np.ndarray, labels: np.ndarray, views: list[int]) -> int:
    right = 0
    for photo, label in zip(probabilities, labels, strict=True):
        average = [sum(float(photo[view, c]) for view in views) for c in range(photo.shape[1])]
        right += average.index(max(average)) == label
    return right


def loss(probabilities: np.ndarray, labels: np.ndarray, views: list[int]) -> float:
    truth = probabilities[np.arange(len(labels)), :, labels][:, views].mean(axis=1)
    return float(-np.log(truth).mean())


@pytest.mark.parametrize("seed", range(5))
def test_greedy_is_the_best_step_each_time(seed: int) -> None:
    probabilities, labels = scores(seed)
    first = min(
        range(12), key=lambda v: (-hits(probabilities, labels, [v]), loss(probabilities, labels, [v]))
    )
    assert greedy_views(probabilities, labels, 1) == [first]
    rest = [view for view in range(12) if view != first]
    pairs = [[first, view] for view in rest]
    best = min(pairs, key=lambda p: (-hits(probabilities, labels, p), loss(probabilities, labels, p)))
    assert greedy_views(probabilities, labels, 2) == best
    assert sorted(greedy_views(probabilities, labels, 12)) == list(range(12))


def test_greedy_finds_the_planted_views() -> None:
    """View 7 knows two thirds of the photos, view 2 the others, the rest know nothing."""
    labels = np.arange(60) % 4
    probabilities = np.full((60, 9, 4), 0.25, dtype=np.float32)
    sure = (0.1 + 0.6 * np.eye(4))[labels]
    known = np.arange(60) % 3 > 0
    probabilities[known, 7] = sure[known]
    probabilities[~known, 2] = sure[~known]
    assert greedy_views(probabilities, labels, 2) == [7, 2]
    exhaustive = max(combinations(range(9), 2), key=lambda p: hits(probabilities, labels, list(p)))
    assert set(exhaustive) == {2, 7}


def test_greedy_takes_the_first_of_equals() -> None:
    probabilities, labels = scores(1, views=1)
    assert greedy_views(np.repeat(probabilities, 5, axis=1), labels, 3) == [0, 1, 2]


def test_too_much_to_choose_from_is_refused_before_anything_is_read(index: Index) -> None:
    class Unread(Index):
        def read(self, i: int) -> bytes:
            raise AssertionError

    huge = Unread(["x"] * 50_000, np.zeros(50_000), root=Path("photos"))
    ensemble = Ensemble({"a": Fake(tuple(f"n{i}" for i in range(1000)))})
    with pytest.raises(
        InputError, match=r"at most 4 GiB .* got 26\.8 \(50,000 photos, 144 crops, 1,000 classes"
    ):
        choose_crops(ensemble, huge, crops.parse_crops("greedy:10"))


def test_nothing_readable_is_a_data_error(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.jpg").write_bytes(b"")
    index = data.open_class_folders(tmp_path)[1]
    for act in (multi_crop.compare, choose_crops):
        with pytest.raises(DataError, match="readable images"):
            act(
                Ensemble({"a": Fake(("a", "b"))}),
                index,
                crops.parse_crops("greedy:2") if act is choose_crops else TEN,
            )


Watch = Callable[[str, int], Callable[[int], None]]


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> tuple[dict[str, set[str]], Watch]:
    """Which photos were read under which progress bar."""
    read: dict[str, set[str]] = {}
    real = Index.read

    def watch(self: Index, i: int) -> bytes:
        list(read.values())[-1].add(str(self.root / self.name(i)))
        return real(self, i)

    def progress(name: str, total: int) -> Callable[[int], None]:
        read[name] = set()
        return lambda count: None

    monkeypatch.setattr(Index, "read", watch)
    return read, progress


@pytest.mark.parametrize("split", [None, "val"])
def test_greedy_chooses_on_one_half_and_reports_on_the_other(
    photos: Path, watched: tuple[dict[str, set[str]], Watch], split: str | None
) -> None:
    read, progress = watched
    if split == "val":  # cut from the folder by a hash of the names, as the halves must not be
        for name, color in COLORS.items():
            for i in range(20):
                paint(photos / name / f"more{i}.jpg", color, seed=i)
    asked = crops.parse_crops("greedy:3")
    found = multi_crop.assess({"a": Fake()}, str(photos), asked, split=split, progress=progress)  # type: ignore[dict-item]
    choosing, reporting = read.values()
    assert not choosing & reporting
    assert abs(len(choosing) - len(reporting)) <= 3  # a photo a class
    where = f"the val split of {photos}" if split else f"all of {photos}"
    assert found.metrics.part == f"half of {where}; the crops were chosen on its other half"
    assert found.metrics.samples == len(reporting)
    assert [row.protocol for row in found.rows] == ["1", "greedy:3", "10", "144"]
    assert [row.cost for row in found.rows] == [1, 3, 10, 144]
    assert found.metrics.top1 == pytest.approx(1 - found.rows[1].top1_error)
    assert len(set(found.chosen)) == 3
    assert found.as_dict()["views"] == [view.name for view in found.chosen]


@pytest.mark.parametrize("split", ["test", "train"])
def test_greedy_chooses_on_val_where_another_split_is_measured(
    photos: Path, tmp_path: Path, watched: tuple[dict[str, set[str]], Watch], split: str
) -> None:
    read, progress = watched
    root = tmp_path / "root"
    root.mkdir()
    photos.rename(root / "train")
    for name, color in COLORS.items():
        paint(root / "val" / name / "v.jpg", color, seed=7)
        paint(root / "test" / name / "t.jpg", color, seed=8)
    models = {"a": Fake(), "b": Fake(seed=3, size=70)}
    found = multi_crop.assess(
        models, str(root), crops.parse_crops("greedy:2"), split=split, progress=progress
    )  # type: ignore[arg-type]
    choosing, reporting = read.values()
    assert {Path(path).parts[-3] for path in choosing} == {"val"}
    assert {Path(path).parts[-3] for path in reporting} == {split}
    assert found.metrics.part == (
        f"the {split} split of {root}; the crops were chosen on the val split of {root}"
    )
    assert [(row.models, row.protocol) for row in found.rows] == [
        (models, name) for models in (1, 2) for name in ("1", "greedy:2", "10", "144")
    ]
    val = data.open_data(str(root)).split("val")
    every = [
        np.stack([means(m, val, n, Crops("", 1, (v,))) for v in VIEWS_144])
        for n in range(3)
        for m in models.values()
    ]
    both = np.array(every, dtype=np.float32).reshape(3, 2, 144, 3).mean(axis=1)
    assert [VIEWS_144.index(view) for view in found.chosen] == greedy_views(both, val.labels, 2)


def test_one_photo_a_class_cannot_be_halved(tmp_path: Path) -> None:
    for name, color in COLORS.items():
        paint(tmp_path / "few" / name / "0.jpg", color, seed=1)
    with pytest.raises(DataError, match="a class of two images"):
        multi_crop.assess({"a": Fake()}, str(tmp_path / "few"), crops.parse_crops("greedy:2"))  # type: ignore[dict-item]


def test_what_any_member_was_trained_on_is_not_called_unseen(photos: Path) -> None:
    trained = data.open_data(str(photos))
    seen = {"sketch": content_sample(trained.split("train")), "cut": True}
    stranger, first = Fake(), Fake()
    first.metadata = replace(first.metadata, data=seen)
    for pair in ({"a": stranger, "b": first}, {"a": first, "b": stranger}):
        found = multi_crop.assess(pair, str(photos), ONE)  # type: ignore[arg-type]
        assert found.metrics.part == f"the val split of {photos}"
    first.metadata = replace(first.metadata, data={**seen, "cut": False})
    found = multi_crop.assess({"a": stranger, "b": first}, str(photos), ONE)  # type: ignore[dict-item]
    assert "trained on" in found.metrics.part


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Model files: a and b of the colors, c of other classes."""
    folder = tmp_path_factory.mktemp("models")
    for name, classes, dialect, seed in (
        ("a", COLOR_NAMES, "bn", 1),
        ("b", COLOR_NAMES[::-1], "torchvision", 2),
        ("c", ("cat", "dog"), "bn", 3),
    ):
        model = real(classes, dialect, 64, seed)
        checkpoint.save(folder / name, model.net, model.metadata)
    return folder


def test_command_line(saved: Path, photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["evaluate", str(saved / "a"), str(photos)]
    assert main.main([*words, "--json"]) == 0
    plain = json.loads(capsys.readouterr().out)
    assert not {"crops", "models", "protocols", "views"} & set(plain)
    both = ["--ensemble", str(saved / "b")]
    assert main.main([*words, "--crops", "10", *both, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["crops"] == "10"
    assert found["models"] == [str(saved / "a"), str(saved / "b")]
    assert [(row["models"], row["crops"], row["cost"]) for row in found["protocols"]] == [
        (1, 1, 1), (1, 10, 10), (2, 1, 2), (2, 10, 20),
    ]  # fmt: skip
    assert found["protocols"][0]["top1_error"] == pytest.approx(1 - plain["top1"])
    assert found["protocols"][-1]["top1_error"] == pytest.approx(1 - found["top1"])
    assert main.main([*words, *both]) == 0
    lines = capsys.readouterr().out.splitlines()
    title = next(i for i, line in enumerate(lines) if re.match(r" *models +crops +cost", line))
    assert lines[title + 1].split()[:3] == ["1", "1", "1"]
    assert lines[title + 1].split().count("base") == 2
    assert lines[title + 2].split()[:3] == ["2", "1", "2"]
    assert re.search(r"[+-]\d+\.\d\d", lines[title + 2])


@pytest.mark.parametrize(
    "options, said",
    [
        (["--crops", "12"], "expected --crops 1, 10, 144 or greedy:N with N from 1 to 144, got '12'"),
        (["--crops", "greedy:0"], "got 'greedy:0'"),
        (["--crops", "greedy:145"], "got 'greedy:145'"),
        (["--ensemble", "none"], "got none, which does not exist"),
        (["--ensemble", "{b}", "{a}"], "expected each model once"),
    ],
)
def test_mistakes_are_one_line_before_torch_is_loaded(
    saved: Path, photos: Path, options: list[str], said: str
) -> None:
    words = [word.format(a=saved / "a", b=saved / "b") for word in options]
    code = (
        "import sys; from googlenet.cli import main as cli; "
        "sys.exit(cli.main(sys.argv[1:]) + 10 * ('torch' in sys.modules))"
    )
    command = [sys.executable, "-c", code, "evaluate", str(saved / "a"), str(photos), *words]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_ensemble_of_other_classes_is_one_line(saved: Path, photos: Path, googlenet: Run) -> None:
    done = googlenet("evaluate", saved / "a", photos, "--ensemble", saved / "b", saved / "c")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert f"{saved / 'c'} with 'cat', 'dog'" in done.stderr
