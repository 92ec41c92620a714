"""The machinery of the experiments: statistics, results that are kept, and what is made of them."""

import fcntl
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import scipy.stats
import torch

import catalogue
import clusters
import common
import networks
import parts
import plots
import render
import sparse_layer
import stats
import tables
from common import Arm, Column, Comparison, Experiment, Place
from googlenet.architecture import cost
from googlenet.architecture.dialects import DIALECTS
from googlenet.base.errors import DataError, InputError
from googlenet.nn.model import GoogLeNet
from helpers.painting import paint

ROOT = Path(__file__).parents[2]
SCORE = Column("score", "score, %", 100)
STAMP = {
    "commit": "abc",
    "changed": False,
    "machine": "a machine",
    "versions": {"torch": "2"},
    "seconds": 60.0,
    "ended": "2026-01-01T00:00:00Z",
}


def experiment(
    measure: Callable[..., dict[str, Any]] = lambda arm, seed, place: {"score": 0.5},
) -> Experiment:
    return Experiment(
        name="trial",
        title="A trial",
        claim="Section 0.",
        scale="A run is nothing.",
        arms={"old": Arm(about="as it was", note="1"), "new": Arm(about="as it is", note="2")},
        measure=measure,
        columns=(SCORE,),
        comparisons=(
            Comparison(
                what="new less old", column=SCORE, mine="new", theirs="old", paper="more", expected="higher"
            ),
        ),
        drawing=lambda runs: plots.page([plots.dots("A trial", "%", {"old": {"": [1.0, 2.0]}})]),
    )


def result(arm: str, seed: int, score: float, **more: Any) -> dict[str, Any]:
    how = experiment().arms[arm].how
    return {
        "experiment": "trial",
        "arm": arm,
        "seed": seed,
        "how": how,
        "metrics": {"score": score},
        **STAMP,
        **more,
    }


# ---------------------------------------------------------------- statistics


def test_difference_of_arms_is_welchs() -> None:
    mine, theirs = [0.61, 0.64, 0.60, 0.66, 0.63], [0.58, 0.52, 0.57]
    found = stats.between(mine, theirs)
    expected = scipy.stats.ttest_ind(mine, theirs, equal_var=False)
    interval = expected.confidence_interval(0.95)
    assert found is not None
    assert found.mean == pytest.approx(np.mean(mine) - np.mean(theirs))
    assert found.mean / found.error == pytest.approx(expected.statistic)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))


def test_difference_within_runs_is_that_of_pairs() -> None:
    mine, theirs = [0.61, 0.64, 0.60, 0.66], [0.60, 0.62, 0.59, 0.63]
    found = stats.within(mine, theirs)
    interval = scipy.stats.ttest_rel(mine, theirs).confidence_interval(0.95)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))


def test_one_run_has_neither_spread_nor_difference() -> None:
    assert stats.summarize([3.0]) == stats.Summary(3.0, None, 1)
    assert stats.between([1.0], [1.0, 2.0]) is None
    assert stats.within([1.0], [2.0]) is None


def test_what_does_not_vary_differs_exactly() -> None:
    assert stats.between([5.0, 5.0], [3.0, 3.0]) == stats.Difference(2.0, 0.0, 2.0, 2.0)


@pytest.mark.parametrize(
    ("low", "high", "expected", "said"),
    [
        (0.1, 0.3, "higher", "same direction"),
        (0.1, 0.3, "lower", "opposite"),
        (-0.3, -0.1, "lower", "same direction"),
        (-0.3, -0.1, "higher", "opposite"),
        (-0.1, 0.3, "higher", "not settled"),
        (0.1, 0.3, None, "no claim"),
    ],
)
def test_verdict_needs_the_whole_interval(low: float, high: float, expected: Any, said: str) -> None:
    found = stats.Difference((low + high) / 2, 0.1, low, high)
    assert stats.verdict(found, expected) == said
    assert stats.verdict(None, "higher") == "too few runs"


# ---------------------------------------------------------------- results that are kept


def test_a_run_that_ends_is_one_line(tmp_path: Path) -> None:
    place = Place(data=None, work=tmp_path, smoke=True)
    common.one(experiment(), "new", 0, place)
    common.one(experiment(), "new", 1, place)
    lines = (common.results(place) / "trial.jsonl").read_text().splitlines()
    assert [json.loads(line)["seed"] for line in lines] == [0, 1]
    kept = json.loads(lines[0])
    assert kept["metrics"] == {"score": 0.5}
    assert kept["how"] == ["2"]
    assert set(kept) == {"experiment", "arm", "seed", "how", "metrics", *STAMP}
    assert kept["versions"]["torch"] == torch.__version__.partition("+")[0]


@pytest.mark.parametrize("stop", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_a_run_that_does_not_end_leaves_nothing(tmp_path: Path, stop: type[BaseException]) -> None:
    def measure(*_: Any) -> dict[str, Any]:
        raise stop

    place = Place(data=None, work=tmp_path, smoke=True)
    with pytest.raises(stop):
        common.one(experiment(measure), "new", 0, place)
    assert not list(tmp_path.rglob("*.jsonl"))


def test_a_figure_that_is_no_number_is_not_kept(tmp_path: Path) -> None:
    place = Place(data=None, work=tmp_path, smoke=True)
    with pytest.raises(ValueError, match="JSON"):
        common.one(experiment(lambda *_: {"score": float("nan")}), "new", 0, place)
    assert not list(tmp_path.rglob("*.jsonl"))


def test_what_is_done_is_not_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place(data=None, work=tmp_path, smoke=True)
    begun: list[str] = []

    def command(chosen: Experiment, arm: str, seed: int, place: Place) -> list[str]:
        begun.append(f"{arm} {seed}")
        return [sys.executable, "-c", f"raise SystemExit({seed})"]

    monkeypatch.setattr(common, "_command", command)
    common.keep(result("old", 0, 0.4), folder=common.results(place))
    failed = common.run(experiment(), list(experiment().runs([0, 1])), place)
    assert begun == ["new 0", "old 1", "new 1"]
    assert failed == ["old 1", "new 1"]


def test_a_result_got_in_another_way_does_not_count(tmp_path: Path) -> None:
    common.keep(result("old", 0, 0.4, how=["another rate"]), folder=tmp_path)
    common.keep(result("old", 1, 0.5), folder=tmp_path)
    assert list(common.counting(experiment(), folder=tmp_path)) == [("old", 1)]


def test_two_at_once_are_refused(tmp_path: Path) -> None:
    with (tmp_path / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(InputError, match="no other experiment"):
            common.run(experiment(), [], Place(data=None, work=tmp_path))


# ---------------------------------------------------------------- tables


def test_tables_are_arithmetic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(render, "EXPERIMENTS", {"trial": experiment()})
    for seed, (old, new) in enumerate([(0.50, 0.44), (0.52, 0.45), (0.51, 0.46)]):
        common.keep(result("old", seed, old), folder=tmp_path)
        common.keep(result("new", seed, new), folder=tmp_path)
    page, drawn = render.rendered(tmp_path)
    assert "| old | as it was | 3 | 51.0 ± 1.0 |" in page
    assert "| new | as it is | 3 | 45.0 ± 1.0 |" in page
    # both variances are 1, so the standard error is the root of 2/3, with 4 degrees of freedom: t = 2.776
    assert "| -6.00 ± 0.82 | -8.27 to -3.73 | more | **opposite** |" in page
    assert set(drawn) == {"trial"}
    assert "bfloat16" not in page


def test_where_it_ran_says_the_precision_of_each_run(tmp_path: Path) -> None:
    for seed, precision in enumerate(["bfloat16", "float32", "bfloat16"]):
        metrics = {"score": 0.5, "precision": precision}
        common.keep(result("new", seed, 0.5, metrics=metrics), folder=tmp_path)
    stamp = tables.stamp(experiment(), {"new": common.read("trial", folder=tmp_path)})
    assert "; bfloat16, float32; torch" in stamp


def test_what_did_not_run_has_no_section(tmp_path: Path) -> None:
    page, drawn = render.rendered(tmp_path)
    assert "###" not in page
    assert not drawn


def test_results_that_are_not_there_empty_no_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / render.PAGE.name
    page.write_text(render.PAGE.read_text())
    words = ["render.py", "--results", str(tmp_path / "none"), "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as stopped:
        render.main()
    assert stopped.value.code == 2
    assert page.read_text() == render.PAGE.read_text()


def test_results_page_is_what_the_results_say() -> None:
    part, drawn = render.rendered()
    page = render.PAGE.read_text()
    assert page == render.inserted(page, part), "run: python experiments/render.py"
    for name, plot in drawn.items():
        assert (render.DOCS / render.PLOTS / f"{name}.svg").read_text() == plot, (
            "run: python experiments/render.py"
        )


# ---------------------------------------------------------------- the experiments themselves


@pytest.mark.parametrize("chosen", catalogue.EXPERIMENTS.values(), ids=lambda chosen: chosen.name)
def test_experiments_are_consistent(chosen: Experiment) -> None:
    assert (ROOT / "experiments" / f"{chosen.name}.py").exists()
    assert len(chosen.seeds) >= 3
    for arm in chosen.arms.values():
        if arm.borrowed:
            owner, name = arm.borrowed
            lent = catalogue.EXPERIMENTS[owner].arms[name]
            assert lent.borrowed is None
            assert lent.how == arm.how
    for comparison in chosen.comparisons:
        assert comparison.mine in chosen.arms
        assert (comparison.theirs in chosen.arms) != (comparison.against is not None)


def test_variants_cost_what_they_stand_in_for(monkeypatch: pytest.MonkeyPatch) -> None:
    for network in networks.NETWORKS:
        monkeypatch.setitem(DIALECTS, network.name, network)
    plain = cost.network("bn", classes=10, size=64)
    sides = {row.name: row.side for row in plain.rows}
    for name in ("module_at_conv2", "modules_only", "naive_quarter"):
        found = cost.network(name, classes=10, size=64)
        assert found.macs == pytest.approx(plain.macs, rel=0.015)
        assert all(sides[row.name] == row.side for row in found.rows if row.name not in ("conv1", "conv2"))
        net = GoogLeNet(10, dialect_name=name).eval()
        assert sum(parameter.numel() for parameter in net.parameters()) == found.parameters
        assert net(torch.zeros(1, 3, 64, 64)).shape == (1, 10)


def test_a_part_keeps_training_and_looks_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(parts.PARTS, "few", parts.Part(name="few", train=2, val=1, test=1))
    for split in ("train", "test"):
        for label in range(10):
            for number in range(3):
                paint(tmp_path / "all" / split / f"c{label}" / f"{number}.jpg", (9, 9, 9), seed=number)
    (tmp_path / "made").mkdir()
    data = parts.opened(parts.prepare("few", tmp_path / "all", tmp_path / "made"))
    names = {
        split: {data.split(split).name(i) for i in range(len(data.split(split)))}
        for split in ("train", "val")
    }
    assert (len(names["train"]), len(names["val"]), len(data.split("test"))) == (20, 10, 10)
    assert not names["train"] & names["val"]
    monkeypatch.setitem(parts.PARTS, "more", parts.Part(name="more", train=3, val=1))
    with pytest.raises(DataError, match="expected at least 4 images, got 3"):
        parts.prepare("more", tmp_path / "all", tmp_path / "made")


def test_break_even_is_where_the_lines_cross() -> None:
    densities = (0.01, 0.1, 1.0)
    assert sparse_layer.break_even(densities, [1.0, 10.0, 100.0], [10.0**1.5] * 3) == pytest.approx(10**-0.5)
    assert sparse_layer.break_even(densities, [9.0, 9.0, 9.0], [5.0] * 3) == 0.01
    assert sparse_layer.break_even(densities, [1.0, 2.0, 3.0], [5.0] * 3) == 1.0


def test_clusters_of_planted_groups_are_found() -> None:
    generator = np.random.default_rng(0)
    causes = generator.normal(size=(2000, clusters.CLUSTERS))
    truth = np.repeat(np.arange(clusters.CLUSTERS), 3)
    units = causes[:, truth] + 0.5 * generator.normal(size=(2000, len(truth)))
    labels = clusters.clusters(units[:1000])
    assert len({(int(a), int(b)) for a, b in zip(truth, labels, strict=True)}) == clusters.CLUSTERS
    assert clusters.together(units[1000:], labels) == pytest.approx(1 / 1.25, abs=0.03)
    means = clusters.common(units, labels)
    assert means[:, 0] == pytest.approx(units[:, :3].mean(axis=1))


def test_kept_variance_is_that_of_the_best_linear_map() -> None:
    generator = np.random.default_rng(1)
    units = generator.normal(size=(4000, 8))
    half = units[:, :4]
    assert clusters.kept((units[:2000], units[2000:]), (units[:2000], units[2000:])) == pytest.approx(1.0)
    found = clusters.kept((half[:2000], half[2000:]), (units[:2000], units[2000:]))
    assert found == pytest.approx(0.5, abs=0.03)  # four of eight independent units


def test_plots_are_well_formed_and_place_values_in_order() -> None:
    drawn = plots.page(
        [
            plots.dots("A & B", "%", {"one": {"": [10.0, 12.0]}, "two": {"": [30.0]}}),
            plots.curves("C", "x", "y", {"line": [(0.01, 1.0), (1.0, 100.0)]}, log_x=True, log_y=True),
        ]
    )
    tree = ElementTree.fromstring(drawn)
    dots = [float(dot.get("cx", "")) for dot in tree.iter("{http://www.w3.org/2000/svg}circle")]
    assert dots[0] < dots[1] < dots[2]
    assert dots[1] - dots[0] == pytest.approx((dots[2] - dots[0]) / 10, abs=0.1)


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (41.3, 68.2), (5.0, 5.0), (-0.02, 0.013)])
def test_marks_span_the_values(low: float, high: float) -> None:
    marks = plots.round_marks(low, high)
    assert marks[0] <= low <= high <= marks[-1]
    assert 2 <= len(marks) <= 9


def test_the_quickest_script_runs_from_end_to_end(tmp_path: Path) -> None:
    script = ROOT / "experiments" / "sparse_layer.py"
    before = common.read("sparse_layer")
    words = ["--smoke", "--work", str(tmp_path), "--seeds", "0"]
    subprocess.run([sys.executable, script, *words], check=True)
    kept = common.read("sparse_layer", folder=tmp_path / "smoke-results")
    assert [(one["arm"], one["seed"]) for one in kept] == [("random places", 0)]
    assert common.read("sparse_layer") == before
    metrics = kept[0]["metrics"]
    assert sparse_layer.EXPERIMENT.drawing({"random places": [metrics]}).startswith("<svg")


@pytest.mark.parametrize(
    "words, said",
    [
        (("--seeds", "a,b"), "trial: expected --seeds as 0,1,2, got 'a,b'\n"),
        (("--data", "no"), "trial: expected --data FOLDER with images in splits, there is no folder no\n"),
    ],
)
def test_a_wrong_option_is_one_line_before_any_run(
    words: tuple[str, str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    work = tmp_path / "work"
    monkeypatch.setattr(sys, "argv", ["trial.py", *words, "--work", str(work)])
    with pytest.raises(SystemExit) as stop:
        common.main(experiment())
    assert stop.value.code == 2
    assert capfd.readouterr().err == said
    assert not work.exists()


def test_arms_differ_in_what_they_say_they_do() -> None:
    training = catalogue.EXPERIMENTS["stem"].arms["modules only"].training
    assert training is not None
    assert replace(training, dialect="bn") == common.Training()
