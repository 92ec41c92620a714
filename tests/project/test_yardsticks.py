"""What a budget buys: the peers' loop, the reference's recipe, runs in sessions, and the page."""

import math
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

import common
import peer_networks
import render
import torchvision_loop
import torchvision_reference
import yardstick_page
import yardstick_runs
import yardsticks
from common import Place
from googlenet.architecture.dialects import DIALECTS
from googlenet.base.errors import InputError, TrainingError
from googlenet.data.dataset import Dataset
from googlenet.data.folder import open_data
from googlenet.data.index import fingerprint
from googlenet.files.events import Validation
from googlenet.files.modelfile import MODEL_NAME, read_metadata
from googlenet.files.runfolder import LOG, RunLog, read_config
from googlenet.nn.model import GoogLeNet
from googlenet.training import train
from googlenet.training.decision.recipe import MODERN, SMOKE
from googlenet.training.decision.settings import Settings
from googlenet.training.optim import losses
from googlenet.training.transfer import pretrained as transfer
from torchvision_loop import Asked
from yardstick_runs import OURS, REFERENCE, Contender
from yardsticks import YARDSTICKS

CLOTHING = YARDSTICKS["clothing"]
STAMP = {
    "commit": "abc",
    "changed": False,
    "machine": "a machine",
    "versions": {"torch": "2"},
    "seconds": 60.0,
}


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The peers by name, forgotten afterwards."""
    monkeypatch.setattr(transfer, "build_network", transfer.build_network)
    for name in peer_networks.PEERS:
        monkeypatch.setitem(DIALECTS, name, peer_networks.PEERS[name])
    peer_networks.register()


def three(photos: Path) -> Dataset:
    return open_data(str(photos))


# ---------------------------------------------------------------- peers in our loop


@pytest.mark.parametrize("name", peer_networks.PEERS)
def test_a_peer_is_torchvisions_network(name: str) -> None:
    peer = peer_networks.Peer(name, 3).eval()
    plain = torchvision.models.get_model(name, weights=None, num_classes=3)
    plain.load_state_dict({k.removeprefix(f"trunk.{name}."): v for k, v in peer.state_dict().items()})
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(peer(images), plain.eval()(images))


def test_a_peers_loss_teaches_what_its_own_does() -> None:
    torch.manual_seed(0)
    net = peer_networks.WithoutHeads(peer_networks.Peer("resnet18", 3)).train()
    images, labels = torch.randn(4, 3, 64, 64), torch.tensor([0, 1, 2, 0])
    weights = list(net.parameters())
    found = torch.autograd.grad(losses(net(images), labels, MODERN).total, weights)
    alone = F.cross_entropy(net.net(images), labels, label_smoothing=MODERN.label_smoothing)
    for mine, theirs in zip(found, torch.autograd.grad(alone, weights), strict=True):
        torch.testing.assert_close(mine, theirs)


def test_only_the_peers_are_others(registered: None) -> None:
    assert type(transfer.build_network(SMOKE, "bn", classes=3).net) is GoogLeNet
    assert isinstance(transfer.build_network(SMOKE, "resnet18", classes=3).net, peer_networks.Peer)
    with pytest.raises(InputError, match="no --stem"):
        transfer.build_network(SMOKE, "resnet18-stem4", classes=3)


def test_a_peer_is_trained_resumed_and_measured(
    photos: Path, tmp_path: Path, registered: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(recipe="smoke", dialect="mobilenet_v3_large", epochs=1, batch=8)
    found = train.train(str(photos), tmp_path / "run", settings)
    longer = train.resume(tmp_path / "run", Settings(epochs=2))
    assert not isinstance(found, train.Interrupted) and not isinstance(longer, train.Interrupted)
    index = three(photos).split("val")
    monkeypatch.delitem(DIALECTS, "mobilenet_v3_large")  # another program trains than measures
    measured = yardstick_runs.measured(
        "mobilenet_v3_large", tmp_path / "run", index, three(photos).classes, unseen=True
    )
    assert measured["top1"] == pytest.approx(longer.top1)
    plain = torchvision.models.mobilenet_v3_large(num_classes=3)
    assert measured["parameters"] == sum(parameter.numel() for parameter in plain.parameters())


# ---------------------------------------------------------------- torchvision's script


def test_the_rate_falls_as_the_scripts_does() -> None:
    sgd = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    schedule = torch.optim.lr_scheduler.StepLR(sgd, step_size=30, gamma=0.1)
    for epoch in range(90):
        assert torchvision_loop.rate(epoch / 90) == pytest.approx(sgd.param_groups[0]["lr"]), epoch
        sgd.step()
        schedule.step()


def test_the_reference_trains_on_the_same_images(photos: Path, tmp_path: Path) -> None:
    asked = Asked(minutes=None, epochs=2, size=32, seed=0)
    accuracy = torchvision_loop.train(
        str(photos), tmp_path / "run", asked, started=time.monotonic(), force=False
    )
    config, data = read_config(tmp_path / "run"), three(photos)
    looks = RunLog(tmp_path / "run").read()
    assert [type(look) for look in looks] == [Validation, Validation]
    assert looks[-1].top1 == accuracy
    assert config["fingerprint"] == fingerprint(data.split("train"))
    assert config["plan"]["seen"] == 2 * len(data.split("train"))
    measured = yardstick_runs.measured(
        REFERENCE, tmp_path / "run", data.split("val"), data.classes, unseen=False
    )
    assert measured["top1"] == pytest.approx(accuracy)
    assert measured["images"] == len(data.split("val"))
    plain = torchvision.models.googlenet(num_classes=3, aux_logits=False, init_weights=False)
    assert measured["parameters"] == sum(parameter.numel() for parameter in plain.parameters())


def test_the_references_optimizer_and_loss(photos: Path, tmp_path: Path) -> None:
    asked = Asked(minutes=None, epochs=1, size=32, seed=0)
    run = torchvision_loop.Loop(three(photos), tmp_path / "run", asked, started=time.monotonic())
    (group,) = run.sgd.param_groups
    assert (group["lr"], group["momentum"], group["weight_decay"], group["nesterov"]) == (
        0.1,
        0.9,
        1e-4,
        False,
    )
    assert len(group["params"]) == len(list(run.net.parameters()))
    main, second, first = (torch.randn(4, 3, requires_grad=True) for _ in range(3))
    run.net.forward = lambda images: (main, second, first)  # type: ignore[method-assign]
    labels = torch.tensor([0, 1, 2, 1])
    expected = F.cross_entropy(main, labels) + 0.3 * (
        F.cross_entropy(first, labels) + F.cross_entropy(second, labels)
    )
    assert run._update(torch.zeros(4, 3, 32, 32), labels) == pytest.approx(expected.item())
    main.data.fill_(math.nan)
    with pytest.raises(TrainingError, match="finite loss, got nan"):
        run._update(torch.zeros(4, 3, 32, 32), labels)


def test_minutes_leave_time_for_the_last_look(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Asked(minutes=60, epochs=None, size=32, seed=0)
    run = torchvision_loop.Loop(three(photos), tmp_path / "run", asked, started=time.monotonic())
    assert run.closing > 0
    run.began, run.deadline, run.closing = 1000.0, 1100.0, 20.0
    for now, share in ((1000.0, 0.0), (1040.0, 0.5), (1080.0, 1.0), (1100.0, 1.25)):
        monkeypatch.setattr(torchvision_loop.time, "monotonic", lambda now=now: now)
        assert run.used() == pytest.approx(share)
    run.closing = 120.0  # a look takes longer than what is left
    assert run.used() == 1
    monkeypatch.undo()
    with pytest.raises(InputError, match="expected more --minutes"):
        torchvision_loop.train(
            str(photos), tmp_path / "none", asked, started=time.monotonic() - 3600, force=False
        )


def test_mistakes_are_one_line(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(photos), "--out", str(tmp_path / "run"), "--epochs", "1", "--size", "8"]
    monkeypatch.setattr(sys, "argv", ["torchvision_reference.py", *words])
    with pytest.raises(SystemExit) as stop:
        torchvision_reference.main()
    assert stop.value.code == 2
    assert capsys.readouterr().err == "torchvision_reference: expected --size of at least 32, got 8\n"
    assert not (tmp_path / "run").exists()


# ---------------------------------------------------------------- runs, and the time they took


def log(*lines: tuple[int, str]) -> str:
    def stamp(second: int) -> str:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(1_700_000_000 + second))

    return "".join(f"{stamp(second)} {words}\n" for second, words in lines)


def test_time_counts_work_only_and_a_look_once() -> None:
    began = [1_700_000_000.0, 1_700_001_000.0]
    text = log(
        (30, "val step 10 epoch 1.0000 top1 0.2000 top5 0.9000 loss 2.0000"),
        (60, "val step 20 epoch 2.0000 top1 0.3000 top5 0.9000 loss 2.0000"),
        (90, "train step 25 loss 1.0"),  # then stopped; the last state was that of step 15
        (1030, "val step 20 epoch 2.0000 top1 0.3500 top5 0.9000 loss 2.0000"),
        (1090, "val step 30 epoch 3.0000 top1 0.4000 top5 0.9000 loss 2.0000"),
    )
    assert yardstick_runs.curve(text, began) == [(0.5, 0.2), (2.0, 0.35), (3.0, 0.4)]
    assert yardstick_runs.spent(1_700_001_100.0, began, yardstick_runs.stamps(text)) == 190.0


def test_a_run_that_was_stopped_goes_on_and_the_reference_begins_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[list[str]] = []
    outcomes = iter([130, 0, 0, 130, 0])

    class Program:
        def __init__(self, words: list[str]) -> None:
            begun.append(words)
            folder = Path(words[words.index("--out") + 1])
            (folder / "state").mkdir(parents=True, exist_ok=True)
            (folder / "state" / "step-1.safetensors").touch()

        def wait(self) -> int:
            return next(outcomes)

    monkeypatch.setattr(yardstick_runs.subprocess, "Popen", Program)
    place = Place(data=tmp_path / "data", work=tmp_path / "work")
    arm = Contender(about="", network="resnet18", options=("--minutes", "30"))
    with pytest.raises(TrainingError, match="run again"):
        yardstick_runs.trained(arm, 0, tmp_path / "data", place)
    folder = yardstick_runs.trained(arm, 0, tmp_path / "data", place)
    assert yardstick_runs.trained(arm, 0, tmp_path / "data", place) == folder
    assert len(begun) == 2
    assert ["--dialect", "resnet18"] == begun[0][3:5] and "--force" in begun[0]
    assert "--resume" in begun[1] and "--dialect" not in begun[1]
    other = Contender(about="", network="resnet18", options=("--epochs", "3"))
    yardstick_runs.trained(other, 0, tmp_path / "data", place)
    assert "--resume" not in begun[2]
    arm = Contender(about="", network=REFERENCE, options=("--minutes", "30"))
    with pytest.raises(TrainingError):
        yardstick_runs.trained(arm, 0, tmp_path / "data", place)
    yardstick_runs.trained(arm, 0, tmp_path / "data", place)
    assert "--resume" not in begun[4]


def test_smoke_of_ours_has_every_figure(photos: Path, tmp_path: Path) -> None:
    for name in ("train", "validation"):
        (tmp_path / "data").mkdir(exist_ok=True)
        (tmp_path / "data" / name).symlink_to(photos)
    place = Place(data=tmp_path / "data", work=tmp_path / "work", smoke=True)
    experiment = yardsticks.experiment(CLOTHING)
    common.one(experiment, OURS, 0, place)
    (kept,) = common.read(experiment.name, folder=common.results(place))
    assert common.counting(experiment, folder=common.results(place))
    metrics = kept["metrics"]
    assert all(isinstance(metrics[column.metric], float | int) for column in yardsticks.COLUMNS)
    assert (metrics["budget"], metrics["split"], metrics["images"]) == ("minutes", "val", 30)
    assert 0 < metrics["curve"][-1][0] <= metrics["minutes"]
    assert metrics["curve"][-1][1] == pytest.approx(metrics["top1"], abs=1e-4)
    (run,) = (place.work / "models").glob("*/")
    said = read_metadata(run / MODEL_NAME).metrics
    assert (said["top1"], said["ece"]) == pytest.approx((metrics["top1"], metrics["ece"]))
    assert metrics["fingerprint"] == fingerprint(
        three(tmp_path / "work" / "data" / "data-smoke").split("train")
    )
    assert experiment.drawing({OURS: [metrics]}).startswith("<svg")
    assert (run / LOG).exists()


# ---------------------------------------------------------------- command lines and the page


@pytest.mark.parametrize(
    ("words", "arms"),
    [
        ((), [OURS, "resnet18", "mobilenet_v3_large", REFERENCE]),
        (("--minutes", "30"), [OURS, "resnet18", "mobilenet_v3_large", REFERENCE]),
        (("--minutes", "10", "--only", "resnet18"), ["resnet18 --minutes 10"]),
        (("--only", REFERENCE, "--size", "96"), [f"{REFERENCE} --minutes 30 --size 96"]),
        (
            ("--only", OURS, "--epochs", "9", "--size", "48", "--stem", "4"),
            [f"{OURS} --epochs 9 --size 48 --stem 4"],
        ),
    ],
)
def test_a_run_is_asked_for_as_its_experiment_was(
    words: tuple[str, ...], arms: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[common.Experiment] = []
    monkeypatch.setattr(yardsticks, "carry_out", lambda experiment, chosen: made.append(experiment))

    def call(*words: str) -> None:
        monkeypatch.setattr(sys, "argv", ["yardsticks.py", *words])
        yardsticks.main()

    call("clothing", "--data", "photos", *words)
    place = Place(data=Path("photos"), work=Path("work"))
    _, script, *again = common._command(made[0], arms[0], 0, place)
    assert Path(script) == Path(yardsticks.__file__)
    call(*again)
    assert list(made[0].arms) == list(made[1].arms) == arms
    assert [arm.how for arm in made[0].arms.values()] == [arm.how for arm in made[1].arms.values()]


@pytest.mark.parametrize(
    "words", [("--epochs", "3"), ("--size", "96"), ("--only", "resnet18", "--stem", "4"), ("--minutes", "x")]
)
def test_plans_are_one_networks(words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["yardsticks.py", "clothing", *words])
    with pytest.raises(SystemExit):
        yardsticks.main()


def result(network: str, seed: int, top1: float, *options: str) -> dict[str, Any]:
    words = options or yardsticks.own(CLOTHING)
    arm = Contender(about="", network=network, options=words)
    numbers = {column.metric: 0.0 for column in yardsticks.COLUMNS}
    return {
        "experiment": "yardstick_clothing",
        "arm": yardsticks.label(network, words, CLOTHING),
        "seed": seed,
        "how": arm.how,
        "metrics": {
            **numbers,
            "budget": arm.budget,
            "minutes": 60.0,
            "top1": top1,
            "curve": [[1.0, 0.1], [2.0, top1]],
        },
        **STAMP,
    }


def test_the_page_says_what_was_reached(tmp_path: Path) -> None:
    for seed, (ours, theirs) in enumerate([(0.84, 0.83), (0.86, 0.83), (0.85, 0.83)]):
        common.keep(result(OURS, seed, ours), folder=tmp_path)
        common.keep(result("resnet18", seed, theirs, "--epochs", "9"), folder=tmp_path)
    stale = {**result(OURS, 3, 0.1), "how": [OURS, "--minutes 30", "another recipe"]}
    common.keep(stale, folder=tmp_path)
    page, drawn = yardstick_page.rendered(tmp_path, plots="plots")
    assert "| googlenet | `googlenet train`, default options | 3 | 85.0 ± 1.0 |" in page
    assert "| resnet18 --epochs 9 | torchvision's ResNet-18 in the same loop | 3 | 83.0 |" in page
    assert "| accuracy, the floor | at least 80 | 85.0 ± 1.0 | 3 | reached |" in page
    assert "| accuracy, the goal | at least 86 | 85.0 ± 1.0 | 3 | **not reached** |" in page
    assert "| accuracy, less ResNet-18 | at least 2 | 2.0 ± 0.6 | 3, 3 | reached |" in page
    assert "| accuracy, less torchvision's script | at least 15 | | | not run yet |" in page
    assert "Of earlier recipes, which count no more: googlenet --minutes 30, seed 3, 10.0 %" in page
    assert "| accuracy on test, the floor | at least 91 | | | not run yet |" in page
    assert set(drawn) == {"yardstick_clothing"}
    assert drawn["yardstick_clothing"].count("<polyline") == 6  # a line for each run


def test_a_plans_epochs_are_drawn_over_the_minutes_they_stand_for() -> None:
    timed = result(OURS, 0, 0.8)["metrics"]
    planned = result(OURS, 0, 0.8, "--epochs", "9")["metrics"]  # took 60 minutes, for a plan of 30
    halved = {**timed, "curve": [[minutes / 2, accuracy] for minutes, accuracy in planned["curve"]]}
    drawn = [
        yardsticks.draw({OURS: [timed], "resnet18": [other]}, minutes=30)
        for other in (planned, halved, timed)
    ]
    assert drawn[0] == drawn[1] != drawn[2]


def test_results_page_is_what_the_results_say() -> None:
    part, drawn = yardstick_page.rendered(plots=render.PLOTS)
    page = render.PAGE.read_text()
    assert page == render.inserted(page, part, name=render.YARDSTICKS), "run: python experiments/render.py"
    for name, plot in drawn.items():
        assert (render.DOCS / render.PLOTS / f"{name}.svg").read_text() == plot
