"""The part that is checked, found through the registry; and what a check is."""

from __future__ import annotations

import inspect
import os
import random
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch

from rnntext import contracts, registry
from rnntext.contracts import Example
from rnntext.errors import PartError, UnknownNameError
from rnntext.options import Option, options_of, validate
from rnntext.recipe import PartChoice

PROTOCOLS: Mapping[str, type] = {
    "datasets": contracts.Dataset,
    "tokenizers": contracts.Tokenizer,
    "vocabularies": contracts.Vocabulary,
    "embeddings": contracts.Embedding,
    "encoders": contracts.Encoder,
    "heads": contracts.Head,
}
SEED = 20_011
_changed_by_import: dict[tuple[str, str], list[str]] = {}
"""What the first import of a part changed, since a later one changes nothing."""


class Nonconforming(AssertionError):  # noqa: N818  # says what the part is
    """A part does not do what its contract asks; the message says what, with which input."""


class DoesNotApplyError(Exception):
    """A check has nothing to look at in a part with these options; the message says why."""


def refuse(message: str) -> NoReturn:
    """Raise Nonconforming."""
    raise Nonconforming(message)


def require(holds: object, message: str) -> None:
    """Raise Nonconforming unless a condition holds."""
    if not holds:
        raise Nonconforming(message)


@dataclass(slots=True)
class Subject:
    """The part that is checked.

    Args:
        kind: one of ``contracts.KINDS``.
        name: as in a recipe.
        options: of the part, as in a recipe; relative paths start from the current folder.
        examples: texts as the part is made for, for what the kit cannot invent.
    """

    kind: str
    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    examples: Sequence[Example] = ()
    seeded: int | None = None
    """What torch's generator was seeded with last, by a check."""
    reseeded: bool = False
    """Whether the part has seeded it anew since."""

    @property
    def part(self) -> Any:
        """The class, imported when it is first asked for.

        Raises:
            UnknownNameError: nothing is called that.
            PartError: it cannot be imported, or breaks what every part promises.
        """
        registry.canonical_name(self.kind, self.name)
        before = global_state()
        part = registry.get(self.kind, self.name)
        _changed_by_import.setdefault((self.kind, self.name), changes(before, global_state()))
        return part

    @property
    def changed_by_import(self) -> list[str]:
        """What importing the class changed for the whole process."""
        self.part  # noqa: B018  # it is the import that matters
        return _changed_by_import[self.kind, self.name]

    @property
    def all_options(self) -> dict[str, Any]:
        """The options that are given with the defaults filled in, paths made absolute."""
        options = options_of(self.part, self.kind)
        given = {key: self._as_given(options.get(key), value) for key, value in self.options.items()}
        values, faults = validate(options, given, getattr(self.part, "refused_options", {}))
        if faults:
            raise Nonconforming(f"the option {faults[0].key} that the check was given: {faults[0].message}")
        if missing := [key for key, option in options.items() if option.required and key not in given]:
            raise Nonconforming(
                f"the option {missing[0]} must be given, and was not; give conformance "
                f"options={{{missing[0]!r}: ...}}, check-plugin --set {registry.singular(self.kind)}."
                f"{missing[0]}=VALUE or a --recipe"
            )
        return values

    @staticmethod
    def _as_given(option: Option | None, value: Any) -> Any:
        if isinstance(value, os.PathLike):
            value = os.fspath(value)
        names_a_file = option is not None and (option.is_path or (option.may_be_path and os.path.exists(value)))
        return str(Path(value).resolve()) if names_a_file and isinstance(value, str) else value

    @property
    def choice(self) -> PartChoice:
        """The part with all its options, as a recipe has it."""
        return PartChoice(self.kind, registry.canonical_name(self.kind, self.name), self.part, self.all_options)

    def build(self, seed: int = SEED, **wired: Any) -> Any:
        """Return a new instance, its weights drawn from a seed of torch; all other generators stand anywhere."""
        self.seed(seed)
        return self.choice.build(**wired)

    def seed(self, seed: int) -> None:
        """Seed torch's generator, having looked whether the part has done so: seeding hides what was there."""
        self.reseeded |= self.seeded is not None and torch.initial_seed() != self.seeded
        torch.manual_seed(seed)
        self.seeded = seed


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that the contract asks, and the function that looks whether a part does it."""

    name: str
    purpose: str
    function: Callable[[Subject], None] = field(repr=False, compare=False)

    def __call__(self, subject: Subject) -> None:
        """Look.

        Raises:
            Nonconforming: the part does not do it.
            DoesNotApplyError: there is nothing to look at.
        """
        with undone():
            try:
                self.function(subject)
            except (Nonconforming, DoesNotApplyError):
                raise
            except (PartError, UnknownNameError) as error:  # the registry says what is wrong
                raise Nonconforming(str(error)) from error
            except Exception as error:
                raise Nonconforming(_unexpected(error)) from error


def _unexpected(error: Exception) -> str:
    last = next(iter(reversed(inspect.getinnerframes(error.__traceback__))), None) if error.__traceback__ else None
    where = f" ({Path(last.filename).name}:{last.lineno})" if last else ""
    return f"{type(error).__name__}: {error}{where}, where the contract asks for a result"


class Checks(list[Check]):
    """A list to which a function is added by decoration: named after it, with its first line as purpose."""

    def __call__(self, function: Callable[[Subject], None]) -> Callable[[Subject], None]:
        """Add a check."""
        purpose = inspect.cleandoc(function.__doc__ or "").split("\n")[0].rstrip(".")
        self.append(Check(function.__name__, purpose, function))
        return function


@contextmanager
def undone() -> Iterator[None]:
    """Put back, at the end, the random numbers, threads, folder and parts that a broken part may have changed."""
    python, numpy, folder = random.getstate(), np.random.get_state(), os.getcwd()
    threads, dtype, gradients = torch.get_num_threads(), torch.get_default_dtype(), torch.is_grad_enabled()
    cache = os.environ.get("RNNTEXT_CACHE")
    with torch.random.fork_rng(devices=[]), registry.registrations_undone(), tempfile.TemporaryDirectory() as place:
        os.environ["RNNTEXT_CACHE"] = place
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)
            os.chdir(folder)
            torch.set_num_threads(threads)
            torch.set_default_dtype(dtype)
            torch.set_grad_enabled(gradients)
            os.environ.pop("RNNTEXT_CACHE")
            if cache is not None:
                os.environ["RNNTEXT_CACHE"] = cache


def global_state() -> dict[str, Any]:
    """Return what belongs to the whole process and no part may change, by what it is called."""
    name, keys, *rest = np.random.get_state()
    return {
        "the state of Python's random": random.getstate(),
        "the state of numpy.random": (name, np.asarray(keys).tobytes(), *rest),
        "the seed of torch's generator": torch.initial_seed(),
        "torch's number of threads": torch.get_num_threads(),
        "torch's default dtype": torch.get_default_dtype(),
        "torch's grad mode": torch.is_grad_enabled(),
        "torch's deterministic mode": torch.are_deterministic_algorithms_enabled(),
        "the current folder": os.getcwd(),
    }


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return what differs."""
    return [what for what in before if before[what] != after[what]]


def difference(one: Any, other: Any, tolerance: float = 0.0, place: str = "") -> str:
    """Return where two results differ by more than a tolerance, in words; "" where they do not."""
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        one, other = one.detach(), other.detach()
        if one.shape != other.shape or one.dtype != other.dtype:
            return f"{place}is {_shape(one)} and {_shape(other)}"
        if not one.is_floating_point():
            return "" if torch.equal(one, other) else f"{place}differs"
        if torch.allclose(one, other, rtol=tolerance, atol=tolerance, equal_nan=True):
            return ""
        return f"{place}differs by up to {float((one - other).abs().nan_to_num(float('inf')).max()):.3g}"
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        if one.dtype.kind in "fiub" and other.dtype.kind in "fiub":
            return difference(torch.from_numpy(one.copy()), torch.from_numpy(other.copy()), tolerance, place)
        return "" if np.array_equal(one, other) else f"{place}differs"
    if isinstance(one, bool) or isinstance(other, bool):
        return "" if one is other else f"{place}is {one!r} and {other!r}"
    if isinstance(one, int | float) and isinstance(other, int | float):
        near = one == other or abs(one - other) <= tolerance * max(1.0, abs(one)) or (one != one and other != other)
        return "" if near else f"{place}is {one!r} and {other!r}"
    if isinstance(one, Mapping) and isinstance(other, Mapping) and list(one) == list(other):
        pairs = [(one[key], other[key], f"{place}{key} ") for key in one]
    elif isinstance(one, list | tuple) and type(one) is type(other) and len(one) == len(other):
        pairs = [(left, right, place) for left, right in zip(one, other, strict=True)]
    else:
        return "" if one == other else f"{place}is {shown(one)} and {shown(other)}"
    return next((found for left, right, where in pairs if (found := difference(left, right, tolerance, where))), "")


def require_gradients(module: torch.nn.Module) -> None:
    """Raise Nonconforming unless every trainable parameter has a finite gradient that is not all zero."""
    for name, parameter in module.named_parameters():
        if not parameter.requires_grad or not parameter.numel():
            continue
        gradient = parameter.grad
        if gradient is None or not bool(gradient.any()):
            refuse(f"the parameter {name} gets no gradient; use it, or leave it out")
        require(bool(gradient.isfinite().all()), f"the gradient of {name} is not finite")


def _shape(tensor: torch.Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"


def shown(value: Any) -> str:
    """Return a value for a message, cut if it is long; odd characters escaped."""
    text = ascii(value)
    return text if len(text) <= 120 else f"{text[:117]}..."
