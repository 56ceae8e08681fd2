"""What is asked of parts of every kind: found by name, explained, repeatable, kept, and at work in a whole run."""

from __future__ import annotations

import inspect
import random
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from safetensors.torch import load as load_weights
from safetensors.torch import save as save_weights

import rnntext
from rnntext import registry
from rnntext.contracts import WIRED
from rnntext.errors import DataError
from rnntext.options import options_of, type_text, validate
from rnntext.progress import LineReporter
from rnntext.testing.material import (
    WIDTH,
    Tables,
    batch_of,
    examples_of,
    recipe_file,
    task_of,
    tiny_embedding,
    tiny_vocabulary,
    vectors,
)
from rnntext.testing.subject import (
    PROTOCOLS,
    SEED,
    Checks,
    Subject,
    changes,
    difference,
    global_state,
    refuse,
    require,
    shown,
)
from rnntext.testing.tiny import TEXTS
from rnntext.testing.uses import use

every_kind = Checks()
of_modules = Checks()
TOLERANCE = 1e-4
"""Of numbers that are worked out in batches of other shapes."""


@every_kind
def registered(subject: Subject) -> None:
    """The registry finds the class under its name, with the methods of its kind."""
    part = subject.part
    name = registry.canonical_name(subject.kind, subject.name)
    listed = [entry for entry in registry.entries(subject.kind) if name in (entry.name, entry.full_name)]
    require(listed, f"registry.entries({subject.kind!r}) does not list {name!r}, though registry.get finds it")
    require(inspect.isclass(part), f"{subject.name!r} is {shown(part)}, no class")
    for method, wanted in _methods(PROTOCOLS[subject.kind]).items():
        called = "forward" if method == "__call__" and issubclass(part, torch.nn.Module) else method
        found: Any = getattr(part, called, None)
        require(callable(found), f"the class has no method {called}({', '.join(wanted)})")
        parameters = [each for each in inspect.signature(found).parameters.values() if each.name != "self"]
        names = [each.name for each in parameters]
        require(
            names[: len(wanted)] == wanted,
            f"{called} takes ({', '.join(names)}); the contract asks for ({', '.join(wanted)})",
        )
        needed = [
            each.name
            for each in parameters[len(wanted) :]
            if each.default is each.empty and each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)
        ]
        require(
            not needed, f"{called} cannot be called without {', '.join(needed)}, which the contract does not give"
        )
    if subject.kind in ("embeddings", "encoders", "heads"):
        require(issubclass(part, torch.nn.Module), "the class is no torch.nn.Module")
    if isinstance(inspect.getattr_static(part, "__init__", None), type(object.__init__)):
        require(not WIRED[subject.kind], f"the constructor takes no {', '.join(sorted(WIRED[subject.kind]))}")
    else:
        lacking = WIRED[subject.kind] - set(inspect.signature(part).parameters)
        require(not lacking, f"the constructor takes no {', '.join(sorted(lacking))}, which rnntext gives it")


def _methods(protocol: Any) -> dict[str, list[str]]:
    """Return the parameters of each method of a protocol, without self and cls."""
    methods = {}
    for name, value in vars(protocol).items():
        function = value.__func__ if isinstance(value, classmethod) else value
        if inspect.isfunction(function) and (not name.startswith("_") or name in ("__call__", "__len__")):
            methods[name] = [each for each in inspect.signature(function).parameters if each not in ("self", "cls")]
    return methods


@every_kind
def documented(subject: Subject) -> None:
    """The class says in its first line what it gives, and what each option means."""
    text = inspect.cleandoc(subject.part.__doc__ or "")
    first = text.split("\n")[0].strip()
    generated = first.startswith(f"{subject.part.__name__}(")
    require(first and not generated, "the class has no docstring; its first line is what `rnntext list` shows")
    for option in options_of(subject.part, subject.kind).values():
        require(
            option.help,
            f"the option {option.name} is not explained; write `{option.name}: ...` under Args: of the class's "
            "docstring, or a description in Annotated[..., Field(description=...)]",
        )


@every_kind
def options(subject: Subject) -> None:
    """Options have types that can be read and defaults that fit them; those that are given are valid together."""
    part = subject.part
    try:
        known = options_of(part, subject.kind)
    except NameError as error:
        refuse(f"an annotation of the constructor cannot be resolved: {error}; import the name at run time")
    for option in known.values():
        text = type_text(option)
        require(text, f"the type of {option.name} cannot be told in words")
        if not option.required:
            _, faults = validate({option.name: option}, {option.name: option.default}, {})
            require(not faults, f"the default of {option.name}: {''.join(fault.message for fault in faults)}")
    refused = getattr(part, "refused_options", {})
    for key, reason in refused.items():
        require(key not in known, f"refused_options names {key}, which is an option")
        require(isinstance(reason, str) and reason, f"refused_options gives no reason against {key}")
    values = subject.all_options
    for key, reason in getattr(part, "check_options", lambda given: ())(values) or ():
        require(
            key in known, f"check_options yields the key {key!r}, which is no option; a recipe cannot point at it"
        )
        refuse(f"check_options refuses the options that the checks were given: {key} {reason}")


@every_kind
def same_seed(subject: Subject) -> None:
    """Built twice under one seed of torch, the part is the same and gives the same, in training too."""
    results = []
    for other in (1, 2):
        random.seed(other)
        np.random.seed(other)
        results.append(use(subject))
    found = difference(*results)
    require(
        not found,
        f"of two parts built under torch.manual_seed({SEED}), {found}; draw from torch's generator alone, and keep "
        "nothing in the class or the module",
    )


@every_kind
def no_side_effects(subject: Subject) -> None:
    """Importing and using the part leaves random generators, threads, dtype and grad mode of the process alone."""
    imported = subject.changed_by_import
    require(not imported, f"importing the class changes {', '.join(imported)}, which belongs to the whole process")
    subject.seed(SEED)
    subject.reseeded = False
    before = global_state()
    use(subject)
    changed = changes(before, global_state())
    if subject.reseeded and "the seed of torch's generator" not in changed:
        changed.append("the seed of torch's generator")
    require(not changed, f"using the part changes {', '.join(changed)}, which belongs to the whole process")


@every_kind
def runs(subject: Subject) -> None:
    """A recipe with the part trains, is stored and loaded, and answers a text alone as among others."""
    with TemporaryDirectory() as folder:
        try:
            finished = _run(subject, Path(folder) / "few")
        except DataError:
            # Of the few rows that are read otherwise, one may have a tag that no other has.
            if subject.kind != "datasets":
                raise
            everything = {"dataset": {"limit": sys.maxsize}, "batching": {"batch_size": 64}}
            finished = _run(subject, Path(folder) / "all", everything)
        model = rnntext.load(finished.path)  # its self-test has passed
        texts: list[Any] = list(TEXTS)
        if subject.kind != "datasets":
            examples, _ = examples_of(subject)
            texts = [example.text for example in examples]
        if model.fills_blanks:
            texts = [" ".join(["____", *text.split()[1:]]) for text in texts]
        together = [answer.to_dict() for answer in model(texts)]
        for text, answer in zip(texts, together, strict=True):
            found = difference(model(text).to_dict(), answer, TOLERANCE)
            require(not found, f"of the text {shown(text)}, alone and among {len(texts)} others, {found}")


def _run(subject: Subject, out: Path, changed: Tables | None = None) -> rnntext.Run:
    with recipe_file(subject, changed) as path:
        return rnntext.run(path, out=out, progress=LineReporter(lambda text: None))


# ---------------------------------------------------------------- embeddings, encoders, heads


@of_modules
def saves_and_loads(subject: Subject) -> None:
    """All that was learnt is in the weights: a new part with them gives equal output."""
    told = "; keep it as a parameter or a buffer, or work it out from what the constructor is given"
    first, stored = _output_and_weights(subject, SEED, None)
    second, _ = _output_and_weights(subject, SEED + 1, stored)
    found = difference(first, second)
    require(not found, f"after the weights of a part were loaded into a new one, {found}{told}")


@of_modules
def weights_move(subject: Subject) -> None:
    """Weights can be moved and cast: no tensor that the output depends on hides outside parameters and buffers."""
    hidden = []
    module = _module(subject, SEED)
    for name, child in module.named_modules():
        for key, value in vars(child).items():
            if isinstance(value, torch.Tensor) and value.is_floating_point() and value.numel():
                hidden.append(f"{name}.{key}".strip("."))
    require(not hidden, f"{', '.join(hidden)} is a plain tensor, left behind by .to(device); register a buffer")


def _module(subject: Subject, seed: int) -> torch.nn.Module:
    if subject.kind == "heads":
        with task_of(subject, seed) as task:
            head: torch.nn.Module = task.model.head
            return head
    if subject.kind == "embeddings":
        embedding: torch.nn.Module = tiny_embedding(subject, seed)
        return embedding
    encoder: torch.nn.Module = subject.build(seed, input_dim=WIDTH).eval()
    return encoder


def _output_and_weights(subject: Subject, seed: int, stored: bytes | None) -> tuple[Any, bytes]:
    """Return what a part gives in evaluation and its stored weights, having taken those of another first."""
    if subject.kind == "heads":
        with task_of(subject, seed) as task:
            kept = _through_bytes(task.model, stored)
            return [answer.to_dict() for answer in task.trained()(task.texts())], kept
    if subject.kind == "embeddings":
        batch = batch_of(TEXTS, tiny_vocabulary())
        # A model that is loaded never begins.
        module = subject.build(seed, vocabulary=tiny_vocabulary()).eval() if stored else _module(subject, seed)
        kept = _through_bytes(module, stored)
        return module(batch).detach(), kept
    module = _module(subject, seed)
    kept = _through_bytes(module, stored)
    encoded = module(vectors((4, 2)), torch.tensor([4, 2]))
    return [encoded.states.detach(), encoded.final.detach()], kept


def _through_bytes(module: Any, stored: bytes | None) -> bytes:
    from rnntext.model import load_weights as put_back
    from rnntext.model import stored_weights

    if stored is not None:
        try:
            put_back(module, load_weights(stored))
        except RuntimeError as error:
            refuse(f"the weights of a part do not fit a new one with the same options: {error}")
    kept: bytes = save_weights({name: each.detach().contiguous() for name, each in stored_weights(module).items()})
    return kept
