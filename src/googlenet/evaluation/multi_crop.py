"""The paper's test protocols (section 7): probabilities averaged over crops and models, and Table 3."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from googlenet.base.errors import ImageError
from googlenet.base.progress import Advance, Progress, echo, no_advance, no_progress
from googlenet.data.index import Index, Indices
from googlenet.data.splits import choose_split
from googlenet.data.table import Labels
from googlenet.evaluation.crop_selection import choose_crops, split_in_halves
from googlenet.evaluation.ensemble import Ensemble
from googlenet.evaluation.metrics import TOP, Metrics, compute_metrics, ranks
from googlenet.evaluation.photo_scores import PhotoScores
from googlenet.evaluation.scoring import check_not_empty, outlier_share
from googlenet.images.crops import ALL, ONE, TEN, Crops, View
from googlenet.inference.predict import Predictor


@dataclass(frozen=True, kw_only=True)
class ComparisonRow:
    """A line of Table 3; errors and differences as fractions, differences to the first line."""

    protocol: str  # 1, 10, 144 or greedy:N
    models: int
    crops: int
    cost: int  # passes through a network for each photo
    top1_error: float
    top5_error: float
    top1_difference: float
    top5_difference: float


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The metrics of one protocol, and the errors of the cheaper ones on the same photos."""

    metrics: Metrics
    protocol: str
    models: tuple[str, ...]
    rows: tuple[ComparisonRow, ...]
    photos: PhotoScores  # what each photo was taken for
    chosen: tuple[View, ...] = ()  # in the order of their choice; empty unless they were chosen

    def as_dict(self) -> dict[str, Any]:
        """Return the metrics as JSON types, and what they were compared with, if anything."""
        fields = self.metrics.as_dict()
        if len(self.rows) > 1:
            fields |= {"crops": self.protocol, "models": list(self.models)}
            fields["protocols"] = [asdict(row) for row in self.rows]
        if self.chosen:
            fields["views"] = [view.name for view in self.chosen]
        return fields


def assess(
    models: Mapping[str, Predictor],
    source: str,
    crops: Crops,
    *,
    split: str | None = None,
    labels: Labels | None = None,
    workers: int = 2,
    progress: Progress = no_progress,
) -> Comparison:
    """Measure one model or several on a data set by a test protocol.

    models   by the names that messages and results give them; the first gives the order of the classes
    labels   a table of labels; by default they are the names of the class folders
    split    as for `splits.choose_split`; where crops are to be chosen, it is done on `val`, or, if
             that is measured itself or the folder has no splits, on one half of what is measured
    raises   InputError for models of different classes, or crops to be chosen from too many photos;
             DataError for classes that the models do not know, or no readable image
    """
    ensemble = Ensemble(models)
    first, *others = (classifier.metadata for classifier in models.values())
    part, index = choose_split(source, first, split, others=others, labels=labels)
    measured = part
    if not crops.views:
        if split in (None, "val"):
            choosing, index = split_in_halves(index, where=part)
            part = f"half of {part}; the crops were chosen on its other half"
        else:
            other, choosing = choose_split(source, first, "val", labels=labels)
            part += f"; the crops were chosen on {other}"
        advance = progress("choosing crops", len(choosing))
        crops = choose_crops(ensemble, choosing, crops, workers=workers, progress=advance)
    advance = progress(measured, len(index))
    comparison = compare(ensemble, index, crops, workers=workers, progress=advance)
    return replace(comparison, metrics=replace(comparison.metrics, part=part))


def compare(
    ensemble: Ensemble,
    index: Index,
    crops: Crops,
    *,
    workers: int = 2,
    progress: Advance = no_advance,
) -> Comparison:
    """Measure a protocol, and those it is compared with, on the images of an index.

    Raises DataError if none of them could be read.
    """
    protocols = compared_protocols(crops)
    asked, own = protocols.index(crops), protocols.index(ONE)
    bad: dict[int, ImageError] = {}
    kept: list[tuple[npt.NDArray[Any], ...]] = []
    distances: list[float] = []
    before: list[Indices] = []  # for each image, classes ahead of the true one, [groups * protocols]
    for number, result in ensemble.scores(index, protocols, workers=workers):
        progress(1)
        if isinstance(result, ImageError):
            bad[number] = result
            echo(f"left out: {index.name(number)}: {result}")
            continue
        kept.append(
            (result.probabilities[-1, asked], result.raw[-1, asked], result.figures, result.energies[own])
        )
        if result.distance is not None:
            distances.append(float(result.distance))
        flat = result.probabilities.reshape(-1, len(ensemble.classes))
        before.append(ranks(flat, np.full(len(flat), index.labels[number])))
    numbers = np.array([n for n in range(len(index)) if n not in bad], dtype=np.int64)
    check_not_empty(numbers, index)
    probabilities, raw, figures, energies = (np.array(column) for column in zip(*kept, strict=True))
    measured = compute_metrics(
        probabilities,
        index.labels[numbers],
        ensemble.classes,
        raw=raw,
        # as `predict` with the first model
        unfamiliar=outlier_share(
            ensemble.metadata, figures, energies, np.array(distances, np.float32) if distances else None
        ),
        unreadable=len(bad),
    )
    return Comparison(
        metrics=measured,
        protocol=crops.name,
        models=ensemble.names,
        rows=_rows(np.array(before), protocols, len(ensemble.names)),
        photos=PhotoScores(index, ensemble.classes, numbers, probabilities, bad),
        chosen=tuple(v for v in crops.views if v) if crops not in (ONE, TEN, ALL) else (),
    )


def compared_protocols(crops: Crops) -> tuple[Crops, ...]:
    """Return the protocols of a comparison: those up to the one given, or all of them with a choice."""
    standard = (ONE, TEN, ALL)
    if crops in standard:
        return standard[: standard.index(crops) + 1]
    return (ONE, crops, TEN, ALL)


def _rows(before: Indices, protocols: Sequence[Crops], models: int) -> tuple[ComparisonRow, ...]:
    """Table 3 from [N, groups * protocols]: how many classes came before the true one."""
    top1, top5 = ((before >= top).mean(axis=0) for top in (1, TOP))
    sizes = [(group, crops) for group in dict.fromkeys((1, models)) for crops in protocols]
    return tuple(
        ComparisonRow(
            protocol=crops.name,
            models=group,
            crops=crops.count,
            cost=group * crops.count,
            top1_error=float(top1[i]),
            top5_error=float(top5[i]),
            top1_difference=float(top1[i] - top1[0]),
            top5_difference=float(top5[i] - top5[0]),
        )
        for i, (group, crops) in enumerate(sizes)
    )
