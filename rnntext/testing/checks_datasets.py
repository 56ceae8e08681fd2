"""What is asked of datasets."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice, pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, get_args

from rnntext.contracts import Annotations, Example, Split
from rnntext.errors import DataError, RecipeError
from rnntext.options import options_of
from rnntext.recipe import read_recipe
from rnntext.schemes import Scheme
from rnntext.testing.material import recipe_file
from rnntext.testing.subject import Checks, DoesNotApplyError, Subject, refuse, require, shown

of_datasets = Checks()
MOST = 2_000
"""Examples of a split that are looked at."""
NOT_UTF8 = b'\xff\xfe\xff caf\xe9 "\xff" \x80\n'


def _examples(dataset: Any, split: str, most: int = MOST) -> list[Example]:
    return list(islice(dataset.read(split), most))


def _all(subject: Subject) -> Iterator[tuple[str, int, Example]]:
    dataset = subject.build()
    for split in dataset.splits():
        for number, example in enumerate(_examples(dataset, split), 1):
            yield split, number, example


@of_datasets
def splits_in_order(subject: Subject) -> None:
    """``splits`` names train first, then validation and test where there are such; each has examples."""
    dataset = subject.build()
    splits = dataset.splits()
    known = get_args(Split)
    require(
        isinstance(splits, tuple)
        and splits == tuple(split for split in known if split in splits)
        and splits[:1] == known[:1],
        f"splits gives {shown(splits)}; a tuple of train, validation, test in this order is asked for, train always",
    )
    for split in splits:
        require(_examples(dataset, split, 1), f"the {split} split has no examples")


@of_datasets
def files_are_there(subject: Subject) -> None:
    """``files`` names, of each split, files that are there."""
    dataset = subject.build()
    for split in dataset.splits():
        files = dataset.files(split)
        require(isinstance(files, tuple), f"files({split!r}) gives {shown(files)}; a tuple of paths is asked for")
        for file in files:
            require(
                isinstance(file, str) and os.path.isfile(file), f"files({split!r}) names {file!r}, which is no file"
            )


@of_datasets
def examples_fit(subject: Subject) -> None:
    """Examples are well-formed: text a string, as many tags as tokens, spans within the text, a known scheme."""
    for split, number, example in _all(subject):
        place = f"example {number} of the {split} split"
        require(isinstance(example, Example), f"{place} is {shown(example)}; contracts.Example is asked for")
        require(isinstance(example.text, str), f"the text of {place} is {shown(example.text)}, no string")
        label, tokens = example.label, example.tokens
        several = isinstance(label, tuple) and all(isinstance(one, str) for one in label)
        require(
            label is None or isinstance(label, str) or several,
            f"the label of {place} is {shown(label)}; a string or a tuple of strings is asked for",
        )
        require(
            tokens is None or (isinstance(tokens, tuple) and all(isinstance(one, str) and one for one in tokens)),
            f"the tokens of {place} are {shown(tokens)}; a tuple of strings that are not empty is asked for",
        )
        if example.scheme is not None:
            require(
                example.scheme in get_args(Scheme), f"the scheme of {place} is {example.scheme!r}, none that is known"
            )
            require(several, f"{place} has a scheme, and its label is {shown(label)}; tags are a tuple, one a token")
            require(
                tokens is None or len(label or ()) == len(tokens),
                f"{place} has {len(tokens or ())} tokens and {len(label or ())} tags; one a token is asked for",
            )
        for span in example.spans or ():
            require(
                len(span) == 3 and 0 <= span[0] < span[1] <= len(example.text) and isinstance(span[2], str),
                f"a span of {place} is {shown(span)}; (start, end, label) within its {len(example.text)} characters "
                "is asked for",
            )
        require(example.spans is None or label is None, f"{place} has spans and a label; spans stand in its place")
        require(
            all(isinstance(one, str) for pair in example.fields.items() for one in pair),
            f"the fields of {place} are {shown(dict(example.fields))}; strings are asked for",
        )


@of_datasets
def lines_increase(subject: Subject) -> None:
    """``line``, where it is given, counts from 1 and grows, so that messages point at the right place."""
    dataset = subject.build()
    for split in dataset.splits():
        lines = [example.line for example in _examples(dataset, split)]
        require(all(isinstance(line, int) and line >= 0 for line in lines), f"lines of {split} are {shown(lines)}")
        if not any(lines) or len(dataset.files(split)) != 1:
            continue
        wrong = next(((one, two) for one, two in pairwise(lines) if two < one), None)
        require(wrong is None and 0 not in lines, f"in the {split} split, after line {wrong} or 0: {shown(lines)}")


@of_datasets
def reads_twice_alike(subject: Subject) -> None:
    """A split read again, by the same reader and another, has the same examples."""
    dataset = subject.build()
    first = {split: _examples(dataset, split) for split in dataset.splits()}
    for split in reversed(dataset.splits()):
        for reader, which in ((dataset, "again"), (subject.build(), "by another reader")):
            require(
                _examples(reader, split) == first[split],
                f"the {split} split read {which} has other examples; draw by a seed of your own, keep no place",
            )


@of_datasets
def reads_lazily(subject: Subject) -> None:
    """Examples come one by one: the first does not wait for the whole file, and ``read`` gives an iterator."""
    dataset = subject.build()
    read = dataset.read("train")
    require(
        hasattr(read, "__next__"),
        f"read gives a {type(read).__name__}; yield examples one by one, never hold them all",
    )
    files = dataset.files("train")
    options = subject.all_options
    if len(files) != 1 or files[0] != options.get("train") or files[0].lower().endswith((".gz", ".parquet")):
        raise DoesNotApplyError("there is no one training file that could be made longer")
    content = Path(files[0]).read_bytes()
    if len(_examples(dataset, "train", 40)) < 2:
        raise DoesNotApplyError("the training file has one example")
    with _copied(subject, content + b"\n" + NOT_UTF8 * 20_000) as reader:
        # What is wrong far behind the first example can only be known to one who has read that far.
        try:
            next(reader.read("train"))
        except DataError:
            refuse("the first example is not given before the end of the file was read; yield each as it is read")


@of_datasets
def gives_what_it_says(subject: Subject) -> None:
    """``gives(options)`` says what examples are annotated with: labels, tags, spans."""
    gives = getattr(subject.part, "gives", None)
    said = frozenset({"labels"}) if gives is None else gives(subject.all_options)
    require(isinstance(said, frozenset), f"gives returns {shown(said)}; a frozenset is asked for")
    windows = getattr(subject.build(), "windows", None)
    require(
        (windows is not None) == ("windows" in said),
        f"gives says {sorted(said)}, and the attribute windows is {windows}; they belong together",
    )
    unknown = said - set(get_args(Annotations))
    if unknown:
        raise DoesNotApplyError(f"it gives {', '.join(sorted(unknown))}, which the checks do not know")
    for split, number, example in _all(subject):
        place = f"example {number} of the {split} split"
        tagged = example.spans is not None or example.scheme is not None
        if "tags" in said:
            require(tagged, f'gives says "tags", and {place} has none (scheme and label, or spans)')
        if "spans" in said:
            in_spans = example.spans is not None or example.scheme not in (None, "none")
            require(in_spans, f'gives says "spans", and the tags of {place} are none (scheme {example.scheme!r})')
        if "labels" in said:
            require(
                example.label is not None and not tagged,
                f'gives says "labels", and the label of {place} is '
                f"{shown(example.label)}{' with a scheme' if tagged else ''}",
            )
        if not said & {"labels", "tags", "spans"} and windows is None:
            asks = "____" in example.text
            require(asks or (example.label is None and not tagged), f"gives says no labels, and {place} has some")


@of_datasets
def bytes_that_are_no_text(subject: Subject) -> None:
    """Bytes that are no UTF-8 raise DataError that names the file, and the line where there are lines."""
    dataset = subject.build()
    files, options = dataset.files("train"), subject.all_options
    if len(files) != 1 or files[0] != options.get("train"):
        raise DoesNotApplyError("there is no one training file to spoil (option train)")
    content = Path(files[0]).read_bytes()
    has_lines = any(example.line for example in _examples(dataset, "train", 5))
    with _copied(subject, content.rstrip(b"\n") + b"\n" + NOT_UTF8) as reader:
        try:
            for _ in reader.read("train"):
                pass
        except DataError as error:
            file = error.file or "no file"
            require(os.path.basename(file) == os.path.basename(files[0]), f"the message names {file}: {error}")
            require(error.line or not has_lines, f"the message names no line: {error}")
        except Exception as error:
            refuse(
                f"bytes that are no UTF-8 raise {type(error).__name__} ({error}); raise DataError with file and line"
            )
        else:
            refuse("bytes that are no UTF-8 are read without a word; raise DataError with file and line")


class _copied:  # noqa: N801  # reads as a word: with _copied(...)
    """A reader of the same options but for ``train``, a copy with other content."""

    def __init__(self, subject: Subject, content: bytes) -> None:
        self._subject, self._content = subject, content
        self._folder = TemporaryDirectory()

    def __enter__(self) -> Any:
        subject = self._subject
        path = Path(self._folder.name) / Path(subject.all_options["train"]).name
        path.write_bytes(self._content)
        return Subject(subject.kind, subject.name, {**subject.options, "train": str(path)}).build()

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()


@of_datasets
def missing_file_refused(subject: Subject) -> None:
    """A file that is not there is refused when the recipe is read, with a message; so mark paths as FilePath."""
    options = options_of(subject.part, "datasets")
    if "train" not in options or not isinstance(subject.all_options["train"], str):
        raise DoesNotApplyError("it has no option train")
    if options["train"].may_be_path and not os.path.exists(subject.all_options["train"]):
        raise DoesNotApplyError("its option train names no file here")
    require(
        options["train"].is_path or options["train"].may_be_path,
        "the option train is no FilePath; paths of it would start from the current folder, not from the recipe's",
    )
    with recipe_file(subject) as path:
        gone = str(path.parent / "not there" / Path(subject.all_options["train"]).name)
        try:
            recipe = read_recipe(path, {"dataset.train": gone})
        except RecipeError as error:
            require(gone in str(error), f"the message does not name the file that is missing: {error}")
            return
        try:
            _examples(recipe.dataset.build(), "train")
        except DataError as error:
            require(Path(gone).name in str(error), f"the message does not name the file that is missing: {error}")
        except Exception as error:
            refuse(f"a file that is not there raises {type(error).__name__} ({error}); raise DataError")
        else:
            refuse("a file that is not there is read without a word; raise DataError")


@of_datasets
def splits_are_apart(subject: Subject) -> None:
    """No row is in two splits, where the dataset draws them itself from the same source."""
    dataset = subject.build()
    splits = dataset.splits()
    sources = {split: dataset.files(split) for split in splits}
    same = [(one, two) for one, two in pairwise(splits) if not sources[one] or sources[one] == sources[two]]
    if not same:
        raise DoesNotApplyError("each split has files of its own")
    for one, two in same:
        rows = [{(each.text, each.line) for each in _examples(dataset, split)} for split in (one, two)]
        both = rows[0] & rows[1]
        require(not both, f"{len(both)} rows are in {one} and in {two}, such as {shown(next(iter(both), ''))}")
