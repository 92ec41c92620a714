"""A network in torch as a `predict.Predictor`: squares of pixels to logits and probabilities."""

import torch

from googlenet.architecture.dialects import Preprocessing
from googlenet.base.errors import ModelFileError
from googlenet.calibration import temperature
from googlenet.calibration.temperature import Probabilities
from googlenet.files.metadata import ModelMetadata
from googlenet.images.decode import Pixels
from googlenet.inference.predict import Logits
from googlenet.nn.model import GoogLeNet, network_input


class Classifier:
    """A `predict.Predictor` over a network in torch."""

    def __init__(self, net: GoogLeNet, card: ModelMetadata | None = None) -> None:
        """Wrap a network that has a card, or is given one.

        Raises ModelFileError if it has none: without it there are no class names.
        """
        found = card or net.card
        if found is None:
            raise ModelFileError("expected a network loaded from a model file, got one without a card")
        self.net, self.card = net, found
        self._device = next(net.parameters()).device

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the probabilities."""
        return self.card.classes

    @property
    def preprocessing(self) -> Preprocessing:
        """How to cut the squares."""
        return self.card.preprocessing

    def __call__(self, images: Pixels) -> Probabilities:
        """uint8 [N, size, size, 3] -> float32 [N, classes], rows summing to 1."""
        return temperature.probabilities(self.logits(images), self.card.temperature)

    @torch.inference_mode()
    def logits(self, images: Pixels) -> Logits:
        """uint8 [N, size, size, 3] -> float32 [N, classes], before any temperature."""
        squares = torch.tensor(images, device=self._device)
        logits: Logits = self.net(network_input(squares, self.preprocessing)).cpu().numpy()
        return logits

    @torch.inference_mode()
    def class_maps(self, images: Pixels) -> Logits:
        """uint8 [N, size, size, 3] -> float32 [N, classes, h, w], whose means over h x w are the logits.

        Raises ModelFileError for a network with a dense layer before its classifier.
        """
        if self.net.kind.dense is not None:
            raise ModelFileError(f"dialect {self.card.dialect} has no class maps: a dense layer follows")
        squares = torch.tensor(images, device=self._device)
        found = self.net.class_maps(self.net.trunk(network_input(squares, self.preprocessing)))
        return found.cpu().numpy()
