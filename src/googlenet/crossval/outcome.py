"""What the runs of a cross-validation add up to: one model, figures over all photos, wrong labels."""

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from googlenet.base.errors import ImageError, MissingExtraError, TrainingError
from googlenet.base.progress import echo
from googlenet.base.text import pluralize
from googlenet.calibration import ood, temperature
from googlenet.calibration.ood import FeatureDetector
from googlenet.calibration.temperature import Probabilities
from googlenet.crossval.assignment import Folds, read_table
from googlenet.crossval.folder import (
    OUT_OF_FOLD,
    SUSPECTS,
    CrossValidation,
    fold_folder,
    read_cross_validation,
)
from googlenet.data.index import Indices
from googlenet.evaluation.kept_scores import SCORES, read_scores
from googlenet.evaluation.label_errors import Suspect, find_suspects
from googlenet.evaluation.metrics import Metrics, compute_metrics
from googlenet.evaluation.photo_scores import PhotoScores
from googlenet.evaluation.scoring import SplitScores
from googlenet.files import runfolder
from googlenet.files.atomic import atomic_write
from googlenet.files.metadata import ModelMetadata
from googlenet.files.modelfile import MODEL_NAME, model_path, read_metadata
from googlenet.nn import checkpoint
from googlenet.nn.members import join_networks
from googlenet.report import page as report
from googlenet.report.gallery import Gallery
from googlenet.report.summary import FoldResult

NOT_READ = ImageError("unreadable", "could not be read when its model was measured")
PART = "all photos, each judged by the model that has not seen it ({} folds)"


@dataclass(frozen=True, kw_only=True)
class OutOfFold:
    """What was made of each photo by the model that has not seen it; photos that it could read.

    probabilities  [N, classes], each fold's at temperatures fitted on other photos; `raw` without any
    figures        [N, 9], the statistics of its pixels
    energies       [N], at the temperature of its fold's model
    """

    numbers: Indices
    labels: Indices
    probabilities: Probabilities
    raw: Probabilities
    figures: npt.NDArray[np.float64]
    energies: npt.NDArray[np.float32]


def is_done(folder: Path) -> bool:
    """Whether a fold's run has left all that is needed of it."""
    return all((folder / name).is_file() for name in (MODEL_NAME, SCORES, runfolder.REPORT))


def finish(out: Path, asked: CrossValidation, folds: Folds) -> Metrics:
    """Put the models of finished runs together, and write the model, the table, suspects and the report.

    Raises ModelFileError if a run's files were altered, TrainingError if the runs are not of one kind,
    WriteError.
    """
    folders = [fold_folder(out, number) for number in range(1, folds.count + 1)]
    nets = [checkpoint.load(folder) for folder in folders]
    cards = [net.metadata for net in nets if net.metadata is not None]
    if len({(card.dialect, card.classes, card.preprocessing) for card in cards}) > 1:
        raise TrainingError(f"{out}: expected runs of one network, input and classes, got others; train anew")
    measured, metrics = _measure(folds, folders)
    joint = join_networks(nets, [card.temperature for card in cards])
    card = _describe(asked, folds, cards, joint.dialect.name, measured, metrics)
    lost = dict.fromkeys(set(range(len(folds.index))) - set(measured.numbers.tolist()), NOT_READ)
    photos = PhotoScores(folds.index, folds.classes, measured.numbers, measured.probabilities, lost)
    photos.write(out / OUT_OF_FOLD)
    checkpoint.save(out / MODEL_NAME, joint, card)
    suspects = _write_suspects(out, folds, measured)
    page = _report(folds, card, measured, metrics, suspects, asked.notes)
    report.write_report(out / runfolder.REPORT, page)
    _tell(out, page.folds, suspects)
    return metrics


def _tell(out: Path, results: Sequence[FoldResult], suspects: Sequence[Suspect] | None) -> None:
    """Say how far the folds are apart, and what there is to do about labels."""
    shares = [100 * result.right / max(1, result.photos) for result in results]
    each = ", ".join(f"{share:.1f}" for share in shares)
    echo(f"accuracy of the folds: {each} % (standard deviation {100 * report.spread(results):.1f})")
    if suspects:
        count = pluralize(len(suspects), "label")
        what = "is" if len(suspects) == 1 else "are"
        echo(f"{count} {what} probably wrong; look at them with: googlenet relabel {shlex.quote(str(out))}")


def write_report_again(folder: Path, file: Path) -> Metrics:
    """Look for wrong labels again, and write the report of a finished cross-validation.

    Raises TrainingError, DataError, ModelFileError for one that is not finished, or was altered; WriteError.
    """
    asked = read_cross_validation(folder)
    card = read_metadata(model_path(folder))
    folds = read_table(folder / runfolder.FOLDS, Path(asked.data))
    folders = [fold_folder(folder, number) for number in range(1, folds.count + 1)]
    measured, metrics = _measure(folds, folders)
    suspects = _write_suspects(folder, folds, measured)
    report.write_report(file, _report(folds, card, measured, metrics, suspects, asked.notes))
    return metrics


def _measure(folds: Folds, folders: Sequence[Path]) -> tuple[OutOfFold, Metrics]:
    torch.set_flush_denormal(True)  # as training has it: the same bytes, whether it was interrupted or not
    number = {folds.index.name(i): i for i in range(len(folds.index))}
    temperatures = [read_metadata(model_path(folder)).temperature for folder in folders]
    measured = _out_of_fold(folds, [read_scores(folder, number) for folder in folders], temperatures)
    metrics = compute_metrics(measured.probabilities, measured.labels, folds.classes, raw=measured.raw)
    return measured, replace(metrics, part=PART.format(folds.count))


def _write_suspects(out: Path, folds: Folds, measured: OutOfFold) -> list[Suspect] | None:
    suspects = _suspects(measured, folds)
    if suspects is not None:
        write_suspects(out / SUSPECTS, suspects, folds)
    return suspects


def _out_of_fold(folds: Folds, each: Sequence[SplitScores], temperatures: Sequence[float]) -> OutOfFold:
    labels = [folds.index.labels[scores.numbers] for scores in each]
    numbers = np.concatenate([scores.numbers for scores in each])
    order = np.argsort(numbers)
    fitted = [
        temperature.cross_fit_temperature(scores.logits, own)
        for scores, own in zip(each, labels, strict=True)
    ]
    energies = [
        temperature.energy_scores(scores.logits / own) for scores, own in zip(each, temperatures, strict=True)
    ]
    return OutOfFold(
        numbers=numbers[order],
        labels=np.concatenate(labels)[order],
        probabilities=np.concatenate(fitted)[order],
        raw=np.concatenate([temperature.probabilities(scores.logits) for scores in each])[order],
        figures=np.concatenate([scores.figures for scores in each])[order],
        energies=np.concatenate(energies)[order],
    )


def _describe(
    asked: CrossValidation,
    folds: Folds,
    cards: Sequence[ModelMetadata],
    dialect: str,
    measured: OutOfFold,
    metrics: Metrics,
) -> ModelMetadata:
    """What the model of all says of itself: its logits need no temperature, each member's had its own."""
    first = cards[0]
    sketch = sorted({*asked.sketch, *first.data.get("sketch", [])})
    own = {"name": folds.index.root.name, "sketch": sketch, "cut": False, "share": None, "moved": []}
    features = _joint_detector([card.familiar_features for card in cards], members=dialect != first.dialect)
    return replace(
        first,
        dialect=dialect,
        data={**first.data, **own, "group": None, "folds": folds.count},
        metrics={"split": "out of fold", **metrics.summary()},
        temperature=1.0,
        energy_threshold=temperature.fit_threshold(measured.energies, temperature.PASS_RATE_EACH)
        if features is None
        else None,
        familiar=ood.fit_detector(measured.figures),
        familiar_features=features,
    )


def _joint_detector(each: Sequence[FeatureDetector | None], *, members: bool) -> FeatureDetector | None:
    """A detector on the features of all members, or on those that all have in common.

    Each was fitted on photos that its member had not seen. Distances are means over features, so the
    threshold of them together is the mean of the thresholds; the photos of each alone decide that.
    """
    found = [detector for detector in each if detector is not None]
    if len(found) < len(each):
        return None
    threshold = float(np.mean([detector.threshold for detector in found]))
    if members:
        mean = b"".join(detector.mean for detector in found)
        return FeatureDetector(
            mean=mean, deviation=b"".join(detector.deviation for detector in found), threshold=threshold
        )
    means, deviations = (
        np.mean([np.frombuffer(getattr(d, name), "<f4") for d in found], axis=0)
        for name in ("mean", "deviation")
    )
    return FeatureDetector(
        mean=means.astype("<f4").tobytes(), deviation=deviations.astype("<f4").tobytes(), threshold=threshold
    )


def _suspects(measured: OutOfFold, folds: Folds) -> list[Suspect] | None:
    """Probable wrong labels, numbered as in the index of all; None where cleanlab is not installed."""
    try:
        found = find_suspects(measured.labels, measured.probabilities, folds.classes)
    except MissingExtraError as error:
        echo(str(error))
        return None
    return [replace(suspect, number=int(measured.numbers[suspect.number])) for suspect in found]


def write_suspects(path: Path, suspects: Sequence[Suspect], folds: Folds) -> None:
    """Write a line a suspect, the most suspect first: path, label, suggested, probability of the label.

    Raises WriteError.
    """
    rows = [
        {
            "path": folds.index.name(suspect.number),
            "label": suspect.given,
            "suggested": suspect.suggested,
            "probability": round(suspect.confidence, 6),
        }
        for suspect in suspects
    ]
    atomic_write(path, "".join(json.dumps(row) + "\n" for row in rows).encode())


def _report(
    folds: Folds,
    card: ModelMetadata,
    measured: OutOfFold,
    metrics: Metrics,
    suspects: Sequence[Suspect] | None,
    notes: Sequence[str],
) -> report.Report:
    """The page; photos are shown with the probabilities of the model that has not seen them."""
    logits = np.log(measured.probabilities.clip(min=1e-12))
    scored = SplitScores(logits, measured.figures, measured.numbers, {})
    gallery = Gallery(scored, folds.index, card)
    right = measured.probabilities.argmax(axis=1) == measured.labels
    fold = folds.fold[measured.numbers]
    return report.Report(
        card=card,
        part=PART.format(folds.count),
        metrics=metrics,
        gallery=gallery,
        notes=notes,
        folds=[
            FoldResult(number=n, photos=int((fold == n).sum()), right=int(right[fold == n].sum()))
            for n in range(1, folds.count + 1)
        ],
        suspects=None if suspects is None else gallery.suspects(suspects),
    )
