"""Several models and several crops: their probabilities averaged (section 7 of the paper)."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from googlenet.architecture.dialects import Preprocessing
from googlenet.base.errors import ImageError, InputError
from googlenet.base.text import abbreviate
from googlenet.calibration import temperature
from googlenet.calibration.ood import Statistics, image_statistics
from googlenet.calibration.temperature import Probabilities
from googlenet.data.index import Index, Indices
from googlenet.evaluation.scoring import BATCH, batched_outputs
from googlenet.images.crops import Crops, crop_all
from googlenet.images.decode import Pixels
from googlenet.inference.predict import Logits, Predictor, map_batches


class AveragedScores(NamedTuple):
    """The averages of an ensemble for one photo.

    The groups are the first model and, if there are others, all of them.
    """

    probabilities: Probabilities  # [groups, protocols, classes], of each model at its temperature
    raw: Probabilities  # the same without temperatures
    figures: Statistics  # [9], of the first model's own crop if it is among the views, else the first view
    energies: npt.NDArray[np.float32]  # [protocols], of the first model, a mean over the crops
    distance: npt.NDArray[np.float32] | None  # [], of the view of `figures`, if that model has it


class Ensemble:
    """Models whose probabilities are averaged, with the classes in the order of the first."""

    def __init__(self, models: Mapping[str, Predictor]) -> None:
        """Match the classes by name.

        Raises InputError, naming both models, for classes that are not the same.
        """
        self.names = tuple(models)
        self._members = tuple(models.values())
        self.metadata = self._members[0].metadata
        self.classes = self._members[0].classes
        self._columns = [
            _columns(self.names[0], self.classes, name, member.classes) for name, member in models.items()
        ]

    def scores(
        self, index: Index, protocols: Sequence[Crops], *, workers: int
    ) -> Iterator[tuple[int, AveragedScores | ImageError]]:
        """Yield each image's number with its averages, or with the ImageError that it met.

        Only a few photos' crops are in memory at a time.
        """
        views = tuple(dict.fromkeys(view for crops in protocols for view in crops.views))
        columns = [[views.index(view) for view in crops.views] for crops in protocols]
        preprocessings = {member.preprocessing for member in self._members}

        def load(number: int) -> dict[Preprocessing, Pixels]:
            return crop_all(index.read(number), preprocessings, views)

        def average(photos: list[dict[Preprocessing, Pixels]]) -> Iterator[AveragedScores]:
            return self._average(photos, columns, own=views.index(None) if None in views else 0)

        batch = max(1, BATCH // len(views))
        return map_batches(range(len(index)), load, average, batch=batch, workers=workers)

    def _average(
        self, photos: list[dict[Preprocessing, Pixels]], columns: list[list[int]], *, own: int
    ) -> Iterator[AveragedScores]:
        outputs = [
            self._outputs(photos, *member) for member in zip(self._members, self._columns, strict=True)
        ]
        each = [logits for logits, _ in outputs]
        temperatures = [member.metadata.temperature for member in self._members]
        calibrated = [temperature.probabilities(*pair) for pair in zip(each, temperatures, strict=True)]
        raw = [temperature.probabilities(logits) for logits in each]
        figures = image_statistics(np.stack([photo[self._members[0].preprocessing][own] for photo in photos]))
        energies = _over_crops(temperature.energy_scores(each[0]), columns)
        distances = outputs[0][1]
        return map(
            AveragedScores,
            _over_models(calibrated, columns),
            _over_models(raw, columns),
            figures,
            energies,
            itertools.repeat(None) if distances is None else distances[:, own],
        )

    @staticmethod
    def _outputs(
        photos: list[dict[Preprocessing, Pixels]], member: Predictor, columns: Indices
    ) -> tuple[Logits, Logits | None]:
        """Logits [photos, views, classes] of one model and distances [photos, views], if it has them."""
        squares = np.concatenate([photo[member.preprocessing] for photo in photos])
        logits, distances = batched_outputs(member, squares)
        logits = logits[:, columns].reshape(len(photos), -1, len(columns))
        return logits, None if distances is None else distances.reshape(len(photos), -1)


def _over_models(each: list[Probabilities], columns: list[list[int]]) -> Probabilities:
    """[photos, groups, protocols, classes], from [photos, views, classes] of each model."""
    means = [_over_crops(probabilities, columns) for probabilities in each]
    groups = [means[0], np.mean(means, axis=0)] if len(means) > 1 else means
    return np.stack(groups, axis=1)


def _over_crops(values: npt.NDArray[np.float32], columns: list[list[int]]) -> npt.NDArray[np.float32]:
    """[photos, protocols, ...], the means of [photos, views, ...] over each protocol's views."""
    return np.stack([values[:, own].mean(axis=1) for own in columns], axis=1)


def _columns(mine: str, classes: Sequence[str], other: str, others: Sequence[str]) -> Indices:
    """The numbers that the classes of one model have in another, matched by name."""
    if set(others) != set(classes):
        raise InputError(
            f"expected models of the same classes, got {mine} with {_listed(classes)} "
            f"and {other} with {_listed(others)}; "
            f"{other} lacks {_listed([name for name in classes if name not in set(others)])}, "
            f"{mine} lacks {_listed([name for name in others if name not in set(classes)])}"
        )
    number = {name: i for i, name in enumerate(others)}
    return np.array([number[name] for name in classes])


def _listed(names: Sequence[str]) -> str:
    return abbreviate([repr(name) for name in names]) or "none"
