"""Parts by kind and name: one class is imported when it is asked for, never before.

Built-ins stand in a static table. ``@rnntext.register`` adds a class for this process (notebooks, tests).
A bare name means the built-in if there is one, so nothing that is registered later changes what an existing
recipe means; ``rnntext/lstm`` is the same part by its full name.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from rnntext import __version__
from rnntext.contracts import CONTRACT, KINDS
from rnntext.errors import PartError, UnknownNameError, suggest

OWN_DISTRIBUTION = "rnntext"
SESSION = "session"  # stands where a distribution's name would, for classes registered in this process

BUILT_INS: dict[str, dict[str, str]] = {
    "datasets": {
        "conll": "rnntext.datasets.conll:ConllDataset",
        "conllu": "rnntext.datasets.conllu:ConlluDataset",
        "csv": "rnntext.datasets.csv:CsvDataset",
        "huggingface": "rnntext.datasets.huggingface:HuggingFaceDataset",
        "jsonl": "rnntext.datasets.jsonl:JsonLinesDataset",
        "text": "rnntext.datasets.text:TextDataset",
    },
    "tokenizers": {
        "character": "rnntext.tokenizers.character:CharacterTokenizer",
        "nltk": "rnntext.tokenizers.nltk:NltkTokenizer",
        "regex": "rnntext.tokenizers.regex:RegexTokenizer",
        "spacy": "rnntext.tokenizers.spacy:SpacyTokenizer",
        "whitespace": "rnntext.tokenizers.whitespace:WhitespaceTokenizer",
    },
    "vocabularies": {
        "frequency": "rnntext.vocabularies.frequency:FrequencyVocabulary",
        "word_list": "rnntext.vocabularies.word_list:WordListVocabulary",
    },
    "embeddings": {
        "char_cnn": "rnntext.embeddings.char_cnn:CharCnnEmbedding",
        "char_lstm": "rnntext.embeddings.char_lstm:CharLstmEmbedding",
        "learned": "rnntext.embeddings.learned:LearnedEmbedding",
        "one_hot": "rnntext.embeddings.one_hot:OneHotEmbedding",
        "pretrained": "rnntext.embeddings.pretrained:PretrainedEmbedding",
        "word_shape": "rnntext.embeddings.word_shape:WordShapeEmbedding",
    },
    "encoders": {
        "coupled_lstm": "rnntext.encoders.coupled_lstm:CoupledLstmEncoder",
        "dense": "rnntext.encoders.dense:DenseEncoder",
        "gru": "rnntext.encoders.gru:GruEncoder",
        "lstm": "rnntext.encoders.lstm:LstmEncoder",
        "min_gru": "rnntext.encoders.min_gru:MinGruEncoder",
        "peephole_lstm": "rnntext.encoders.peephole_lstm:PeepholeLstmEncoder",
        "rnn": "rnntext.encoders.rnn:RnnEncoder",
    },
    "heads": {
        "classification": "rnntext.heads.classification:ClassificationHead",
        "fill_blank": "rnntext.heads.fill_blank:FillBlankHead",
        "next_token": "rnntext.heads.next_token:NextTokenHead",
        "tagging": "rnntext.heads.tagging:TaggingHead",
    },
}

ALIASES: dict[str, dict[str, str]] = {"heads": {"sentiment": "classification"}}

_registered: dict[str, dict[str, type]] = {kind: {} for kind in KINDS}
PartClass = TypeVar("PartClass", bound=type)


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a name comes from: enough for a listing, known without importing the part."""

    kind: str
    name: str
    distribution: str
    version: str

    @property
    def full_name(self) -> str:
        """``distribution/name``: means this part whatever else is installed."""
        return f"{self.distribution}/{self.name}"


def register(kind: str, name: str) -> Callable[[PartClass], PartClass]:
    """Give a class a name for this process: ``@rnntext.register("encoders", "mine")``.

    Registering the same class again is fine, and so is a class defined anew under the same module and
    name (a notebook cell that is run twice).

    Raises:
        UnknownNameError: there is no such kind.
        PartError: the name is a built-in's or another class's, or the class breaks the contract.
    """
    _check_kind(kind)

    def add(part: PartClass) -> PartClass:
        if name in BUILT_INS[kind] or name in ALIASES.get(kind, {}):
            raise PartError(f"{kind}: {name!r} is a built-in of rnntext; choose another name")
        other = _registered[kind].get(name)
        if other is not None and (other.__module__, other.__qualname__) != (part.__module__, part.__qualname__):
            raise PartError(
                f"{kind}: {name!r} is already {other.__module__}.{other.__qualname__}; choose another name"
            )
        verify(kind, name, part)
        _registered[kind][name] = part
        return part

    return add


@contextmanager
def registrations_undone() -> Iterator[None]:
    """Forget, at the end of a ``with`` block, whatever was registered in it."""
    before = {kind: dict(parts) for kind, parts in _registered.items()}
    try:
        yield
    finally:
        for kind, parts in before.items():
            _registered[kind] = parts


def names(kind: str) -> list[str]:
    """Return the names of a kind, sorted, without importing any part."""
    return [entry.name for entry in entries(kind)]


def entries(kind: str) -> list[Entry]:
    """Return an entry for each name of a kind, sorted by name, without importing any part."""
    _check_kind(kind)
    found = [Entry(kind, name, OWN_DISTRIBUTION, __version__) for name in BUILT_INS[kind]]
    found += [Entry(kind, name, SESSION, "") for name in _registered[kind]]
    return sorted(found, key=lambda entry: entry.name)


def canonical_name(kind: str, name: str) -> str:
    """Return the name to freeze in a recipe: aliases and ``rnntext/`` resolved.

    Raises:
        UnknownNameError: nothing is called that; the message suggests the nearest name.
    """
    _check_kind(kind)
    bare = name.removeprefix(f"{OWN_DISTRIBUTION}/")
    bare = ALIASES.get(kind, {}).get(bare, bare)
    if bare in BUILT_INS[kind]:
        return bare
    session_name = name.removeprefix(f"{SESSION}/")
    if session_name in _registered[kind]:
        return session_name
    known = names(kind)
    elsewhere = [other for other in KINDS if other != kind and bare in names(other)]
    hint = f" ({bare!r} is one of the {elsewhere[0]}.)" if elsewhere else ""
    raise UnknownNameError(
        f"no {singular(kind)} is called {name!r}.{suggest(bare, [*known, *ALIASES.get(kind, {})])}{hint} "
        f"{kind.capitalize()}: {', '.join(known)}. More: rnntext list {kind}"
    )


def get(kind: str, name: str) -> type:
    """Return the class of a name, importing it now and only it.

    Raises:
        UnknownNameError: nothing is called that, or there is no such kind.
        PartError: the class cannot be imported or breaks the contract.
    """
    bare = canonical_name(kind, name)
    if bare in _registered[kind]:
        return _registered[kind][bare]
    module_name, _, class_name = BUILT_INS[kind][bare].partition(":")
    part: type = getattr(importlib.import_module(module_name), class_name)
    verify(kind, bare, part)
    return part


def verify(kind: str, name: str, part: type) -> None:
    """Refuse a class that breaks what every part promises.

    Raises:
        PartError: no or another contract version, or a constructor with positional, variable or
            unannotated arguments.
    """
    who = f"{kind} {name!r} ({part.__module__}.{part.__qualname__})"
    contract = getattr(part, "contract", None)
    if contract is None:
        raise PartError(f"{who} states no contract; add the class attribute: contract = {CONTRACT}")
    if contract != CONTRACT:
        older = "its package" if isinstance(contract, int) and contract < CONTRACT else "rnntext"
        raise PartError(f"{who} has contract {contract}, this rnntext {CONTRACT}; upgrade {older}")
    constructor: Any = inspect.getattr_static(part, "__init__")
    if constructor is object.__init__:
        return
    for parameter in list(inspect.signature(constructor).parameters.values())[1:]:
        if parameter.kind is not inspect.Parameter.KEYWORD_ONLY:
            raise PartError(f"{who}: constructor argument {parameter} must be keyword-only")
        if parameter.annotation is inspect.Parameter.empty:
            raise PartError(f"{who}: constructor argument {parameter.name!r} has no annotation")


def singular(kind: str) -> str:
    """Return the table name of a kind: ``encoder`` for ``encoders``."""
    return "vocabulary" if kind == "vocabularies" else kind.removesuffix("s")


def _check_kind(kind: str) -> None:
    if kind not in KINDS:
        raise UnknownNameError(f"no kind is called {kind!r}.{suggest(kind, KINDS)} Kinds: {', '.join(KINDS)}")
