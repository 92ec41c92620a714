"""A network in torch as a `predict.Predictor`: square images to logits and probabilities."""

import torch
from torch import Tensor

from googlenet.base.errors import ModelFileError
from googlenet.files.metadata import ModelMetadata
from googlenet.images.decode import Pixels
from googlenet.inference.predict import Logits, ModelPredictor
from googlenet.nn.model import GoogLeNet, network_input


class Classifier(ModelPredictor):
    """A `predict.Predictor` over a network in torch."""

    about = f"torch {torch.__version__}; googlenet export makes a faster model"

    def __init__(self, net: GoogLeNet, card: ModelMetadata | None = None) -> None:
        """Wrap a network that has a card, or is given one.

        Raises ModelFileError if it has none: without it there are no class names.
        """
        card = card or net.metadata
        if card is None:
            raise ModelFileError("expected a network loaded from a model file, got one without a card")
        self.net, self.metadata = net, card

    @torch.inference_mode()
    def logits(self, images: Pixels) -> Logits:
        """uint8 [N, size, size, 3] -> float32 [N, classes], before any temperature."""
        logits: Logits = self.net(self._input(images)).cpu().numpy()
        return logits

    @torch.inference_mode()
    def class_maps(self, images: Pixels) -> Logits:
        """uint8 [N, size, size, 3] -> float32 [N, classes, h, w], whose means over h x w are the logits.

        Raises ModelFileError for a network with a dense layer before its classifier.
        """
        if self.net.dialect.dense is not None:
            raise ModelFileError(f"dialect {self.metadata.dialect} has no class maps: a dense layer follows")
        return self.net.class_maps(self.net.maps(self._input(images))).cpu().numpy()

    def _input(self, images: Pixels) -> Tensor:
        squares = torch.tensor(images, device=next(self.net.parameters()).device)
        return network_input(squares, self.preprocessing)
