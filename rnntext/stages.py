"""A network in stages, from the head down: what learns at a rate of its own, and from a later epoch on."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from torch import nn

_LAYER = re.compile(r"layers\.(\d+)\.")
_NORM = re.compile(r"norms\.(\d+)\.")


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage, of parameters that are trained."""

    name: str
    """As it stands in a sentence, with its verb."""
    parameters: list[nn.Parameter]


def stages_of(model: Any) -> list[Stage]:
    """Return the stages of a TextModel that have something to learn, the head first and the embeddings last.

    A weight that head and embeddings share belongs to the embeddings.
    """
    seen: set[int] = set()

    def new(parameters: Iterable[nn.Parameter]) -> list[nn.Parameter]:
        found = [each for each in parameters if each.requires_grad and id(each) not in seen]
        seen.update(map(id, found))
        return found

    lowest = Stage("the embeddings learn", new(model.embeddings.parameters()))
    layers = [Stage(name, new(parameters)) for name, parameters in _layers(model.encoder)]
    highest = Stage("the head learns", new(model.parameters()))
    return [stage for stage in (highest, *reversed(layers), lowest) if stage.parameters]


def _layers(encoder: Any) -> list[tuple[str, list[nn.Parameter]]]:
    """Return the layers of a recurrent stack, each with both directions, the lowest first; of others all as one."""
    directions = getattr(encoder, "directions", None)
    layers: dict[int, list[nn.Parameter]] = {}
    for name, parameter in encoder.named_parameters():
        depth = layer_of(name, directions) if isinstance(directions, int) else None
        if depth is None:
            return [("the encoder learns", list(encoder.parameters()))]
        layers.setdefault(depth[0], []).append(parameter)
    return [(f"the encoder's layer {depth + 1} learns", layers[depth]) for depth in sorted(layers)]


def layer_of(name: str, directions: int) -> tuple[int, int] | None:
    """Return to which layer and direction of a recurrent stack, each from 0, a weight belongs; None: to none.

    The norm of what a layer reads belongs to that layer.
    """
    if found := _LAYER.match(name):
        return divmod(int(found[1]), directions)
    if found := _NORM.match(name):  # the lowest layer has none
        depth, direction = divmod(int(found[1]), directions)
        return depth + 1, direction
    return None


class Unfreezing:
    """Lets the head learn alone at first, and the stages below it join in, one after the other.

    What is to wait asks for no gradient meanwhile: a rate of zero would not do, since an optimizer's momentum and
    decay move weights on.

    Args:
        stages: from the head down; none where all learn from the start.
        epochs: from one stage to the next.

    Source:
        Howard and Ruder (2018), Universal language model fine-tuning for text classification, section 3.3.
    """

    def __init__(self, stages: list[Stage], epochs: int) -> None:
        self._stages = stages if epochs else []
        self._epochs = epochs

    def start_epoch(self, epoch: int, epochs: int) -> list[str]:
        """Let those stages learn that are due, and return what is to be told; epochs are counted from 1.

        Args:
            epoch: which one begins.
            epochs: how many there are to be, in all.
        """
        if not self._stages:
            return []
        due = 1 + (epoch - 1) // self._epochs
        for number, stage in enumerate(self._stages):
            for parameter in stage.parameters:
                parameter.requires_grad_(number < due)
        if epoch > 1:
            joins_now = (epoch - 1) % self._epochs == 0 and due <= len(self._stages)
            return [f"epoch {epoch}: {self._stages[due - 1].name} from now on"] if joins_now else []
        notes = [f"epoch 1: {self._stages[0].name} alone (training.unfreeze_epochs = {self._epochs})"]
        last = 1 + (len(self._stages) - 1) * self._epochs
        if last > epochs:
            lowest = self._stages[-1].name
            notes.append(f"training.epochs = {epochs} ends before {lowest}, which would be from epoch {last} on")
        return notes

    def finish(self) -> None:
        """Let every parameter ask for a gradient again that did before."""
        for stage in self._stages:
            for parameter in stage.parameters:
                parameter.requires_grad_(True)
