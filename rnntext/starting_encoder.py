"""An encoder's weights out of finished runs: which directions and layers they give, and why they do not fit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from rnntext.recipe import Recipe
from rnntext.source_run import MisfitError, SourceRun, in_toml
from rnntext.stages import layer_of

STACK_OPTIONS = frozenset({"num_layers", "bidirectional", "interleaved"})
"""Options by which an encoder is known whose weights are layers of one direction each: layers.N and norms.N."""
OF_NO_WEIGHT = {
    *("dropout", "variational_dropout", "weight_drop", "zoneout"),
    *("orthogonal", "forget_bias", "chunk_tokens", "shortcut"),
}
"""Options on which no weight depends: how it starts, how much is dropped, what is done with the states."""
OF_SHAPE = {"encoder.hidden_dim", "encoder.proj_dim"}
BETWEEN_LAYERS = {"layer_norm", "residual"}
SIDES = ("forward", "backward")


@dataclass(frozen=True, slots=True)
class Giver:
    """What one run gives to an encoder."""

    source: SourceRun
    directions: Mapping[int, int] | None
    """Place of a direction among the encoder's -> its place among the run's; None: all weights by their names."""
    notes: list[str]
    """What is to be told of it."""

    def name_of(self, name: str, directions: int) -> str | None:
        """Return the run's name of a weight, given how many directions the encoder has; None: it gives none."""
        place = None if self.directions is None else layer_of(name, directions)
        if self.directions is None or place is None:
            return name
        depth, direction = place
        options = self.source.recipe.encoder.options
        if depth >= options["num_layers"] or direction not in self.directions:
            return None
        kind, _, rest = name.split(".", 2)
        index = (depth - (kind == "norms")) * _count(options) + self.directions[direction]
        return f"{kind}.{index}.{rest}"

    def gives(self, name: str) -> bool:
        """Return whether a weight of the run's encoder is among those that are to be taken."""
        if self.directions is None:
            return True
        place = layer_of(name, _count(self.source.recipe.encoder.options))
        return place is None or place[1] in self.directions.values()


def plan_encoder(recipe: Recipe, sources: list[SourceRun]) -> list[Giver]:
    """Return what each run gives, as far as recipes tell.

    Raises:
        MisfitError: it cannot be taken.
    """
    ours = recipe.encoder
    for source in sources:
        if (name := source.recipe.encoder.name) != ours.name:
            raise MisfitError(
                f"{source} has the encoder {name!r}, and this recipe {ours.name!r}; set encoder.type = "
                f'"{name}", or name another run'
            )
    if not _is_stack(ours.options):
        if len(sources) > 1:
            raise MisfitError(f"the encoder {ours.name!r} has no directions to take from several runs; name one")
        return [Giver(sources[0], None, [f"encoder: all weights from {_named(sources[0])}"])]
    if len(sources) == 1:
        givers = [_from_one(recipe, sources[0])]
    elif len(sources) == 2 and ours.options["bidirectional"]:
        givers = _from_two(*sources)
    else:
        both = ours.options["bidirectional"]
        most = "two, a direction each" if both else "one; for two, set encoder.bidirectional = true"
        raise MisfitError(f"{len(sources)} runs are named, and this encoder starts from at most {most}")
    for giver in givers:
        _check_layers(ours.options, giver)
        # What a recipe tells of shapes, so that nobody waits for data to be read; the rest in fill_encoder.
        widths = {_width(recipe), _width(giver.source.recipe)} - {None}
        if len(widths) == 2 or {key for key, *_ in _differences(recipe, giver.source)} & OF_SHAPE:
            raise _misfit(recipe, giver.source)
    return givers


def _from_one(recipe: Recipe, source: SourceRun) -> Giver:
    ours, theirs = _directions(recipe), _directions(source.recipe)
    pairs = {place: theirs.index(side) for place, side in enumerate(ours) if side in theirs}
    if not pairs:
        way, other_way = ("backwards", "forwards") if theirs == (1,) else ("forwards", "backwards")
        raise MisfitError(
            f"{source} was trained {way} (head.backwards), and this encoder reads {other_way}: what it has learnt is "
            f"of the other side of a word. Name a run that was trained {other_way}, or set encoder.bidirectional = "
            "true"
        )
    given = "both directions" if len(pairs) == 2 else f"the {SIDES[ours[next(iter(pairs))]]} direction"
    note = f"encoder: {given} from {_named(source)}"
    for side in set(ours) - set(theirs):
        note += f"; the {SIDES[side]} direction keeps its own start"
    for side in set(theirs) - set(ours):
        note += f"; its {SIDES[side]} direction is left out"
    return Giver(source, pairs, [note])


def _from_two(first: SourceRun, second: SourceRun) -> list[Giver]:
    for source in (first, second):
        if len(_directions(source.recipe)) == 2:
            raise MisfitError(
                f"of two runs, each gives one direction, and {source} has both; name it alone, or a run that was "
                "trained with encoder.bidirectional = false"
            )
    if _directions(first.recipe) == (1,):
        raise MisfitError(
            f"the first of two runs gives the forward direction, and {first} was trained backwards "
            "(head.backwards = true); name it second"
        )
    givers = [
        Giver(source, {side: 0}, [f"encoder: the {SIDES[side]} direction from {_named(source)}"])
        for side, source in enumerate((first, second))
    ]
    if _directions(second.recipe) == (0,):
        givers[1].notes.append(
            f"encoder: {second} was trained forwards, and is to read backwards; train it with head.backwards = true"
        )
    return givers


def _check_layers(ours: Mapping[str, Any], giver: Giver) -> None:
    source, theirs = giver.source, giver.source.recipe.encoder.options
    if theirs["num_layers"] > ours["num_layers"]:
        raise MisfitError(
            f"the encoder of {source} has {theirs['num_layers']} layers, and this one {ours['num_layers']}; set "
            f"encoder.num_layers = {theirs['num_layers']}"
        )
    mixed, mixed_there = (each["interleaved"] and each["bidirectional"] for each in (ours, theirs))
    if theirs["num_layers"] > 1 and mixed != mixed_there:
        read = {True: "both directions", False: "one direction"}
        both = "" if ours["bidirectional"] else "encoder.bidirectional = true and "
        raise MisfitError(
            f"from the second layer on, each layer of {source} reads {read[mixed_there]} of the one below, and here "
            f"{read[mixed]}; set {both}encoder.interleaved = {in_toml(mixed_there)}"
        )
    if theirs["num_layers"] < ours["num_layers"]:
        lower = "the lowest layer" if theirs["num_layers"] == 1 else f"the lower {theirs['num_layers']} layers"
        giver.notes[0] += f"; {lower} of {ours['num_layers']}"


def fill_encoder(recipe: Recipe, encoder: nn.Module, giver: Giver) -> Iterator[str]:
    """Copy the weights that a run gives; yield what is to be told besides.

    Raises:
        MisfitError: some do not fit. Nothing was copied.
    """
    ours, width = encoder.state_dict(), getattr(encoder, "input_dim", None)
    theirs = {
        name.removeprefix("encoder."): weight
        for name, weight in giver.source.weights.items()
        if name.startswith("encoder.") and giver.gives(name.removeprefix("encoder."))
    }
    names = {name: giver.name_of(name, _count(recipe.encoder.options)) for name in ours}
    pairs = {name: there for name, there in names.items() if there is not None}
    for name, there in pairs.items():
        if there not in theirs:
            raise _misfit(recipe, giver.source, f"{name} is missing there", width)
        if ours[name].shape != theirs[there].shape:
            shapes = f"{name} is {list(ours[name].shape)} here and {list(theirs[there].shape)} there"
            raise _misfit(recipe, giver.source, shapes, width)
    if left := theirs.keys() - set(pairs.values()):
        raise _misfit(recipe, giver.source, f"{min(left)} is missing here", width)
    for name, there in pairs.items():
        with torch.no_grad():
            ours[name].copy_(theirs[there])
    for key, here, there in _differences(recipe, giver.source):
        yield f"encoder: {key} is {in_toml(here)} here and was {in_toml(there)} in {giver.source}"


def _misfit(recipe: Recipe, source: SourceRun, shapes: str = "", width: int | None = None) -> MisfitError:
    """Return the options to change, all at once.

    Args:
        recipe: the new run's.
        source: the run that does not fit.
        shapes: the first weight that shows it.
        width: how many numbers a token has that the encoder reads; what the recipe says if None.
    """
    changes = []
    for key, here, there in _differences(recipe, source):
        change = f"leave out {key}" if there is None else f"set {key} = {in_toml(there)}"
        changes.append(f"{change} (now {in_toml(here)})")
    width, width_there = width or _width(recipe), _width(source.recipe)
    if width and width_there and width != width_there:
        if len(source.recipe.embeddings) == len(recipe.embeddings) == 1:
            changes.append(f"set embedding.output_dim = {width_there} (now {width})")
        else:
            types = " and ".join(choice.name for choice in source.recipe.embeddings)
            changes.append(f"let the embeddings give {width_there} numbers a token, by {types} there (now {width})")
    advice = f": {', '.join(changes)}, or name another run" if changes else "; name another run"
    return MisfitError(f"the encoder of {source} does not fit{advice}{shapes and f' ({shapes})'}")


def _differences(recipe: Recipe, source: SourceRun) -> list[tuple[str, Any, Any]]:
    """Return (option, its value here, its value there) of those on which shape or meaning of weights depends."""
    ours, theirs = recipe.encoder.options, source.recipe.encoder.options
    aside = set(OF_NO_WEIGHT)
    if _is_stack(ours):  # these have been looked at before
        aside |= STACK_OPTIONS | (BETWEEN_LAYERS if theirs["num_layers"] == 1 else set())
    keys = [key for key in ours if key in theirs and key not in aside and ours[key] != theirs[key]]
    return [(f"encoder.{key}", ours[key], theirs[key]) for key in keys]


def _width(recipe: Recipe) -> int | None:
    """Return how many numbers a token has that the encoder reads; None where the recipe does not say."""
    widths: list[int | None] = [choice.options.get("output_dim") for choice in recipe.embeddings]
    known = [width for width in widths if width is not None]
    return sum(known) if len(known) == len(widths) else None


def _directions(recipe: Recipe) -> tuple[int, ...]:
    """Return from which sides texts are read, as places in ``SIDES``."""
    if recipe.encoder.options["bidirectional"]:
        return (0, 1)
    return (1,) if recipe.head.options.get("backwards") else (0,)


def _is_stack(options: Mapping[str, Any]) -> bool:
    return options.keys() >= STACK_OPTIONS


def _count(options: Mapping[str, Any]) -> int:
    return 2 if options.get("bidirectional") else 1


def _named(source: SourceRun) -> str:
    return f"{source} ({source.recipe.head.name})"
