"""Parts by kind and name: one class is imported when it is asked for, never before.

Built-ins stand in a static table. Packages add parts by entry points (see ``discovery``), ``@rnntext.register`` one
for this process (notebooks, tests). A bare name means the built-in if there is one, else the only part that has it; a
name that two packages offer is refused, with the full names ``distribution/name`` that tell them apart. So nothing
that is installed or registered later changes what an existing recipe means; ``rnntext/lstm`` is a full name, too.
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
from rnntext.discovery import ALLOWED, OWN_DISTRIBUTION, installed_version, left_out, normalized, offers
from rnntext.errors import PartError, UnknownNameError, suggest

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
    target: str = ""
    """``module:Class``; empty for a class that was registered in this process."""

    @property
    def full_name(self) -> str:
        """``distribution/name``: means this part whatever else is installed."""
        return f"{self.distribution}/{self.name}"

    def __str__(self) -> str:
        return f"{singular(self.kind)} {self.name!r} of {self.distribution} {self.version}".rstrip()


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
        verify(f"{singular(kind)} {name!r}", part, "its package")
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
    """Return the names by which a recipe may call the parts of a kind, sorted, without importing any part."""
    return sorted(recipe_name(entry) for entry in entries(kind))


def entries(kind: str) -> list[Entry]:
    """Return an entry for each part of a kind, sorted by name, without importing any part."""
    _check_kind(kind)
    found = [Entry(kind, name, OWN_DISTRIBUTION, __version__, target) for name, target in BUILT_INS[kind].items()]
    found += [Entry(kind, name, SESSION, "") for name in _registered[kind]]
    found += [Entry(kind, each.name, each.distribution, each.version, each.target) for each in offers(kind)]
    return sorted(found, key=lambda entry: (entry.name, entry.distribution))


def recipe_name(entry: Entry) -> str:
    """Return the shortest name that means a part: the bare one unless another part has it, too."""
    bare_is_taken = entry.name in ALIASES.get(entry.kind, {}) or any(
        other != entry and other.name == entry.name for other in entries(entry.kind)
    )
    return entry.full_name if bare_is_taken and entry.distribution != OWN_DISTRIBUTION else entry.name


def canonical_name(kind: str, name: str) -> str:
    """Return the name to freeze in a recipe: aliases resolved, the full name of what a package offers.

    Raises:
        UnknownNameError: nothing is called that, or several parts are; the message suggests names.
    """
    entry = find(kind, name)
    return recipe_name(entry) if entry.distribution in (OWN_DISTRIBUTION, SESSION) else entry.full_name


def find(kind: str, name: str) -> Entry:
    """Return which part a name in a recipe means, without importing it.

    Raises:
        UnknownNameError: nothing is called that, or several parts are; the message suggests names.
    """
    known = entries(kind)
    distribution, _, bare = name.rpartition("/")
    if distribution in ("", OWN_DISTRIBUTION):
        own = ALIASES.get(kind, {}).get(bare, bare)
        for entry in known:
            if entry.distribution == OWN_DISTRIBUTION and entry.name == own:
                return entry
    if distribution:
        distributions = normalized(distribution)
        found = [each for each in known if each.name == bare and normalized(each.distribution) == distributions]
    else:
        found = [each for each in known if each.name == bare]
    if len(found) > 1:
        full_names = " and ".join(each.full_name for each in found)
        raise UnknownNameError(f"{name!r} may be one of several {kind}: {full_names}; write the one that is meant")
    if found:
        return found[0]
    raise UnknownNameError(
        _missing_package(kind, name, distribution, known) or _missing_name(kind, name, bare, known)
    )


def _missing_package(kind: str, name: str, distribution: str, known: list[Entry]) -> str:
    """Say why a package's part is not there, or return "" if the fault is not the package's."""
    if distribution in ("", OWN_DISTRIBUTION):
        return ""
    wanted = f"no {singular(kind)} is called {name!r}: "
    if distribution == SESSION:
        return f"{wanted}register the class in this process first, with @rnntext.register({kind!r}, NAME)"
    if normalized(distribution) in map(normalized, left_out()):
        return f"{wanted}the environment variable {ALLOWED} leaves {distribution} out; add it there"
    version = installed_version(distribution)
    if version is None:
        return f"{wanted}the package {distribution} is not installed; pip install {distribution}"
    has = [each.full_name for each in known if normalized(each.distribution) == normalized(distribution)]
    return f"{wanted}{distribution} {version} has {', '.join(has) if has else f'no {kind}'}"


def _missing_name(kind: str, name: str, bare: str, known: list[Entry]) -> str:
    can_be = [recipe_name(entry) for entry in known]
    near = suggest(bare, [*can_be, *(entry.name for entry in known), *ALIASES.get(kind, {})])
    elsewhere = [other for other in KINDS if other != kind and any(each.name == bare for each in entries(other))]
    hint = f" ({bare!r} is one of the {elsewhere[0]}.)" if elsewhere else ""
    if out := left_out():
        hint += f" ({ALLOWED} leaves out {', '.join(out)}.)"
    return (
        f"no {singular(kind)} is called {name!r}.{near}{hint} "
        f"{kind.capitalize()}: {', '.join(sorted(can_be))}. More: rnntext list {kind}"
    )


def get(kind: str, name: str) -> type:
    """Return the class of a name, importing it now and only it.

    Raises:
        UnknownNameError: nothing is called that, several parts are, or there is no such kind.
        PartError: the class cannot be imported or breaks the contract.
    """
    return load(find(kind, name))


def load(entry: Entry) -> type:
    """Return the class of an entry, importing it now and only it.

    Raises:
        PartError: it cannot be imported or breaks the contract.
    """
    if entry.distribution == SESSION:
        return _registered[entry.kind][entry.name]
    part: type
    try:
        part = _imported(entry)
        if entry.distribution != OWN_DISTRIBUTION:
            verify(str(entry), part, f"{entry.distribution} (pip install --upgrade {entry.distribution})")
            _check_options(str(entry), entry.kind, part)
        else:
            verify(str(entry), part, OWN_DISTRIBUTION)
    except PartError:
        raise
    # Whatever a package's code does when it is imported, even ending the process, must stop nothing else.
    except (Exception, SystemExit) as error:
        raise PartError(
            f"{entry} cannot be imported: {type(error).__name__}: {error}. Repair, upgrade or uninstall that package"
        ) from error
    return part


def _imported(entry: Entry) -> Any:
    module_name, _, class_name = entry.target.partition(":")
    found: Any = importlib.import_module(module_name)
    for attribute in class_name.split("."):
        found = getattr(found, attribute)
    return found


def load_all(kind: str) -> tuple[list[tuple[Entry, type]], list[tuple[Entry, PartError]]]:
    """Return all parts of a kind with their classes, and those that cannot be had with the reason."""
    loaded, failed = [], []
    for entry in entries(kind):
        try:
            loaded.append((entry, load(entry)))
        except PartError as error:
            failed.append((entry, error))
    return loaded, failed


def verify(who: str, part: type, package: str) -> None:
    """Refuse a class that breaks what every part promises.

    Args:
        who: what to call it in messages.
        part: the class.
        package: what to upgrade if the class was written for an older contract.

    Raises:
        PartError: no class, no or another contract version, or a constructor with positional, variable or
            unannotated arguments.
    """
    if not isinstance(part, type):
        raise PartError(f"{who} is no class but {part!r}; name the class in the entry point: module:Class")
    who = f"{who} ({part.__module__}.{part.__qualname__})"
    contract = getattr(part, "contract", None)
    if contract is None:
        raise PartError(f"{who} states no contract; add the class attribute: contract = {CONTRACT}")
    if contract != CONTRACT:
        older = package if isinstance(contract, int) and contract < CONTRACT else OWN_DISTRIBUTION
        raise PartError(f"{who} has contract {contract}, this rnntext {CONTRACT}; upgrade {older}")
    constructor: Any = inspect.getattr_static(part, "__init__")
    if constructor is object.__init__:
        return
    for parameter in list(inspect.signature(constructor).parameters.values())[1:]:
        if parameter.kind is not inspect.Parameter.KEYWORD_ONLY:
            raise PartError(f"{who}: constructor argument {parameter} must be keyword-only")
        if parameter.annotation is inspect.Parameter.empty:
            raise PartError(f"{who}: constructor argument {parameter.name!r} has no annotation")


def _check_options(who: str, kind: str, part: type) -> None:
    """Refuse a class whose annotations make no schema of options."""
    from rnntext.options import json_schema, options_of

    try:
        json_schema(options_of(part, kind))
    except Exception as error:  # whatever an annotation of somebody else's can raise
        raise PartError(
            f"{who}: its constructor's annotations make no options: {type(error).__name__}: {error}"
        ) from error


def singular(kind: str) -> str:
    """Return the table name of a kind: ``encoder`` for ``encoders``."""
    return "vocabulary" if kind == "vocabularies" else kind.removesuffix("s")


def _check_kind(kind: str) -> None:
    if kind not in KINDS:
        raise UnknownNameError(f"no kind is called {kind!r}.{suggest(kind, KINDS)} Kinds: {', '.join(KINDS)}")
