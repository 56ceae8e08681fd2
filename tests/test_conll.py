"""CoNLL column files: what is read, what stays as it was, and what each kind of bad file is told."""

import gzip

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnntext import options, registry
from rnntext.contracts import Dataset
from rnntext.datasets.conll import ConllDataset
from rnntext.errors import DataError, UsageError
from rnntext.schemes import first_fault

TWO = "Ada NNP B-PER\nsleeps VBZ O\n\nOslo NNP B-LOC\n"


@pytest.fixture
def write(tmp_path):
    def write_file(content, name="a.conll"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
        return str(path)

    return write_file


def read(path, **more):
    return list(ConllDataset(train=path, **more).read("train"))


def told(path, line, *words, **more):
    """Reading ends in an error that names file and line and says all of these."""
    with pytest.raises(DataError) as caught:
        read(path, **more)
    assert (caught.value.file, caught.value.line) == (path, line), str(caught.value)
    for word in words:
        assert word in caught.value.message, f"{word!r} is not in: {caught.value.message}"
    return caught.value.message


def rows(examples):
    return [list(zip(example.tokens, example.label, strict=True)) for example in examples]


# --- the part --------------------------------------------------------------------------------------------------


def test_part_follows_the_contract_and_documents_each_option():
    part = registry.get("datasets", "conll")
    found = options.options_of(part, "datasets")
    assert all(option.help for option in found.values())
    assert found["train"].is_path
    dataset = part(train="nowhere/a.conll", test="nowhere/b.conll")  # touches no file
    assert isinstance(dataset, Dataset)
    assert dataset.splits() == ("train", "test")
    assert dataset.files("test") == ("nowhere/b.conll",)
    assert dataset.notes == {}
    for method in (dataset.read, dataset.files):
        with pytest.raises(UsageError, match=r"set dataset\.validation"):
            method("validation")


@pytest.mark.parametrize(
    ("given_options", "key", "reason"),
    [
        ({"token_column": -1}, "label_column", "its own tag"),
        ({"scheme": "io", "repair": True}, "repair", 'scheme = "io"'),
        ({"scheme": "none", "repair": True}, "repair", "nothing to repair"),
        ({"scheme": "biluo", "repair": True}, None, ""),
        ({}, None, ""),
    ],
)
def test_options_that_cannot_work_together(given_options, key, reason):
    values, faults = options.validate(options.options_of(ConllDataset), {"train": "a", **given_options}, {})
    assert not faults
    found = list(ConllDataset.check_options(values))
    assert [fault_key for fault_key, _ in found] == ([key] if key else [])
    assert all(reason in text for _, text in found)


@pytest.mark.parametrize(("key", "value"), [("comment_prefix", ""), ("scheme", "iob"), ("separator", " ")])
def test_options_out_of_range(key, value):
    _, faults = options.validate(options.options_of(ConllDataset), {"train": "a", key: value}, {})
    assert [fault.key for fault in faults] == [key]


# --- what is read ----------------------------------------------------------------------------------------------


def test_sentences_with_tags_and_lines(write):
    first, second = read(write(TWO))
    assert first.tokens == ("Ada", "sleeps")
    assert first.label == ("B-PER", "O")
    assert first.text == "Ada sleeps"
    assert (first.scheme, first.line, dict(first.fields)) == ("bio", 1, {})
    assert (second.tokens, second.label, second.line) == (("Oslo",), ("B-LOC",), 4)


@pytest.mark.parametrize(
    "content",
    [
        TWO.replace("\n", "\r\n"),
        b"\xef\xbb\xbf" + TWO.encode(),
        TWO + "\n \n\t\n\n",
        "\n\n" + TWO,
        TWO.rstrip("\n"),
        TWO.replace("\n\n", "\n \t\u00a0\n\n\n"),
        TWO.replace(" ", "\t"),
        TWO.replace(" ", " \t  "),
        TWO.replace("NNP ", "NNP  ").replace("\nOslo", "\n  Oslo  "),
    ],
    ids=["CRLF", "mark", "blank end", "blank start", "no end", "white space", "tabs", "runs", "indented"],
)
def test_the_same_sentences_however_lines_are_spaced_and_ended(write, content):
    assert rows(read(write(content))) == [[("Ada", "B-PER"), ("sleeps", "O")], [("Oslo", "B-LOC")]]


def test_packed_file(write):
    assert len(read(write(gzip.compress(TWO.encode()), "a.conll.gz"))) == 2


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"label_column": 1, "scheme": "none"}, ("Ada", "NNP")),
        ({"label_column": -2, "scheme": "none"}, ("Ada", "NNP")),
        ({"token_column": 1}, ("NNP", "B-PER")),
        ({"token_column": -1, "label_column": 0, "scheme": "none"}, ("B-PER", "Ada")),
    ],
)
def test_columns_are_counted_from_either_end(write, columns, expected):
    assert rows(read(write(TWO), **columns))[0][0] == expected


def test_tokens_that_other_formats_would_read_otherwise(write):
    tokens = ["#tag", '"', "''", "a,b", "\\", "10\u00a0000", "全角\u3000空白", "e\u0301", "\u200b", "a\u2028b"]
    [example] = read(write("".join(f"{token} O\n" for token in tokens)))
    assert list(example.tokens) == tokens


def test_documents_are_parted_and_counted(write):
    path = write("-DOCSTART- -X- O\n\nAda x O\n-DOCSTART-\nOslo x O\nis x O\n\n-DOCSTART- O\n\n")
    dataset = ConllDataset(train=path)
    for _ in range(2):  # a second reading counts afresh
        assert [example.tokens for example in dataset.read("train")] == [("Ada",), ("Oslo", "is")]
        assert dataset.notes == {"documents (-DOCSTART- lines left out) in a.conll": 3}
    assert [example.line for example in dataset.read("train")] == [3, 5]


def test_document_lines_in_a_file_of_tabs(write):
    examples = read(write("-DOCSTART- -X- O\n\nAda\tO\n"), separator="tab")
    assert rows(examples) == [[("Ada", "O")]]


def test_comments_stand_before_the_first_token_alone(write):
    path = write("# id 1 x\n# more\nAda O\n# O\n#tag O\n\n# id 2\n\n# id 3\nOslo O\n")
    dataset = ConllDataset(train=path, comment_prefix="#")
    found = list(dataset.read("train"))
    assert [example.tokens for example in found] == [("Ada", "#", "#tag"), ("Oslo",)]
    assert [example.line for example in found] == [3, 10]
    assert dataset.notes == {"comment lines skipped in a.conll": 4}


def test_a_longer_prefix_tells_comments_from_hashtags(write):
    assert rows(read(write("# id 7\n#tag O\n"), comment_prefix="# id ")) == [[("#tag", "O")]]


def test_tokens_with_blanks_between_tabs(write):
    [example] = read(write("New York \tB-LOC \nis\tO\n"), separator="tab")
    assert example.tokens == ("New York ", "is")
    assert example.label == ("B-LOC", "O")
    assert example.text == "New York  is"


token = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters=" \ufeff"), min_size=1, max_size=5)
no_white_line = token.filter(lambda text: not text.isspace() and "DOCSTART" not in text)


@settings(max_examples=40, deadline=None)
@given(
    sentences=st.lists(
        st.lists(st.tuples(no_white_line, st.sampled_from(["NN", "VB", "#"])), min_size=1, max_size=4),
        min_size=1,
        max_size=4,
    ),
    separator=st.sampled_from(["whitespace", "tab"]),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_sentences_come_back_as_written(tmp_path_factory, sentences, separator, end):
    between = "\t" if separator == "tab" else " "
    lines = []
    for sentence in sentences:
        lines += [*(between.join(pair) for pair in sentence), ""]
    path = tmp_path_factory.mktemp("written") / "a.conll"
    path.write_bytes(end.join(lines).encode())
    assert rows(read(str(path), separator=separator, scheme="none")) == sentences


def test_files_of_one_name_are_told_apart_in_notes(tmp_path):
    paths = []
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        paths.append(tmp_path / folder / "a.conll")
        paths[-1].write_text("-DOCSTART- O\n\nAda O\n")
    dataset = ConllDataset(train=str(paths[0]), test=str(paths[1]))
    for split in ("train", "test"):
        list(dataset.read(split))
    assert len(dataset.notes) == 2


def test_sentences_are_read_when_asked_for(write):
    lines = iter(ConllDataset(train=write(TWO + "\nbroken\n")).read("train"))
    assert next(lines).tokens == ("Ada", "sleeps")  # what is wrong further on is not known yet


# --- tags ------------------------------------------------------------------------------------------------------


def test_broken_tags_name_line_and_cure(write):
    message = told(write("Ada B-PER\n\nhi O\n\nin O\nOslo I-LOC\n"), 6, "I-LOC stands after O", "repair = true")
    assert "IOB1" not in message  # the first sentence is none


def test_iob1_is_recognised_and_repair_reads_its_spans(write):
    path = write("in O\nOslo I-LOC\nBergen B-LOC\nAda I-PER\nLee I-PER\n")
    told(path, 2, "IOB1", "repair reads those too")
    dataset = ConllDataset(train=path, repair=True)
    assert [example.label for example in dataset.read("train")] == [("O", "B-LOC", "B-LOC", "B-PER", "I-PER")]
    assert dataset.notes == {"sentences with broken tags repaired in a.conll": 1}


def test_repair_leaves_good_sentences_alone_and_counts_the_others(write):
    path = write("Ada B-PER\nLee E-PER\n\nOslo S-LOC\n\nAda B-PER\nis O\n\nin I-LOC\nOslo I-LOC\n")
    dataset = ConllDataset(train=path, scheme="bioes", repair=True)
    for _ in range(2):
        labels = [example.label for example in dataset.read("train")]
        assert labels == [("B-PER", "E-PER"), ("S-LOC",), ("S-PER", "O"), ("B-LOC", "E-LOC")]
        assert dataset.notes == {"sentences with broken tags repaired in a.conll": 2}


@settings(max_examples=60, deadline=None)
@given(
    scheme=st.sampled_from(["bio", "bioes"]),
    sentences=st.lists(
        st.lists(st.sampled_from(["O", "B-X", "I-X", "B-Y", "I-Y"]), min_size=1, max_size=5), min_size=1, max_size=6
    ),
)
def test_the_first_broken_sentence_is_the_one_that_is_named(tmp_path_factory, scheme, sentences):
    """Whatever stood before it: sentences that were found to be good must hide nothing."""
    path = tmp_path_factory.mktemp("tags") / "a.conll"
    path.write_text("\n".join("".join(f"x {tag}\n" for tag in tags) for tags in sentences))
    broken = [place for place, tags in enumerate(sentences) if first_fault(tags, scheme)]
    if not broken:
        assert [list(example.label) for example in read(str(path), scheme=scheme)] == sentences
        return
    before = sum(len(tags) + 1 for tags in sentences[: broken[0]])
    position, message = first_fault(sentences[broken[0]], scheme)
    told(str(path), before + position + 1, message, scheme=scheme)


def test_bio_read_as_bioes_is_pointed_out(write):
    told(write("Ada B-PER\nLee I-PER\nis O\n"), 2, "no E-PER", 'right in "bio"', scheme="bioes")
    assert '"bio"' not in told(write("Ada B-PER\nLee I-PER\nis O\nin S-LOC\n"), 2, "no E-PER", scheme="bioes")


@pytest.mark.parametrize(
    ("tag", "scheme", "words"),
    [
        ("U-PER", "bio", ['"biluo"', "Set dataset.scheme"]),
        ("NNP", "bio", ['scheme = "none"']),
        ("B-PER", "io", ['"bio"']),
    ],
)
@pytest.mark.parametrize("repair", [False, True])
def test_tags_of_another_scheme_are_errors_even_under_repair(write, tag, scheme, words, repair):
    told(write(f"I O\n\nam O\nAda {tag}\n"), 4, repr(tag), *words, scheme=scheme, repair=repair and scheme == "bio")


def test_tags_that_are_no_spans_may_be_anything(write):
    assert read(write("Ada I-x\nis -\n"), scheme="none")[0].label == ("I-x", "-")


@pytest.mark.parametrize(
    ("content", "count"),
    [
        ("Ada B-PER\nis O\n\nin O\n\nOslo I-LOC\n\nBo U-PER\n", 3),
        ("Ada B-PER\nis NOUN\n\nOslo S-LOC\n", 1),
        ("is O\n\nalas I-\n\noh IN-x\n\nno B\n", 0),
        ("Ada NNP\nis VBZ\n", 0),
    ],
)
def test_tags_that_look_like_those_of_spans_are_pointed_out(write, content, count):
    dataset = ConllDataset(train=write(content), scheme="none")
    note = 'sentences with tags like those of spans, read as scheme "none" (set dataset.scheme if they are)'
    for _ in range(2):
        list(dataset.read("train"))
        assert dataset.notes == ({f"{note} in a.conll": count} if count else {})


def test_tags_of_spans_that_are_read_as_such_are_not_pointed_out(write):
    dataset = ConllDataset(train=write(TWO))
    list(dataset.read("train"))
    assert dataset.notes == {}


# --- files that cannot be used ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "line", "words", "more"),
    [
        ("Ada x O\nis O\n", 2, ["2 columns, but line 1 has 3"], {}),
        ("Ada O\nNew York O\n", 2, ["3 columns, but line 1 has 2", 'separator = "tab"'], {}),
        ("Ada O\n\nis\n", 3, ["1 column, but line 1 has 2"], {}),
        ("Ada\tO\nis O\n", 2, ["spaces for tabs", 'dataset.separator = "whitespace"'], {"separator": "tab"}),
        ("Ada O\nis O\n", 1, ["spaces for tabs", 'dataset.separator = "whitespace"'], {"separator": "tab"}),
        ("Ada\tO\nis\t\tO\n", 2, ["3 columns, but line 1 has 2"], {"separator": "tab"}),
        ("Ada\tO\n\tO\n", 2, ["the token is empty"], {"separator": "tab"}),
        ("Ada\tO\n  \tO\n", 2, ["the token is empty"], {"separator": "tab"}),
        ("Ada\tO\nis\t\n", 2, ["the tag is empty"], {"separator": "tab"}),
        ("Ada\tO\nis\t \n", 2, ["the tag is empty"], {"separator": "tab"}),
        ("Ada,O\n", 1, ["only one column, 'Ada,O'", "a token and its tag"], {}),
        ("\nAda O\n", 2, ["token_column = 2", "2 columns, 0 to 1", "set dataset.token_column"], {"token_column": 2}),
        ("Ada O\n", 1, ["label_column = -3", "2 columns"], {"label_column": -3}),
        ("Ada O\n", 1, ["both column 1", "set dataset.label_column"], {"token_column": 1}),
        ("# id 1 of 9\nAda O\n", 2, ["2 columns", "has 5", "dataset.comment_prefix"], {"scheme": "none"}),
        ("Ada O\n\n# id 1\nis O\n", 3, ["3 columns", "dataset.comment_prefix"], {}),
        ("# id\n", 1, ["'id' is none of scheme", "dataset.comment_prefix"], {}),
        ("#\n", 1, ["only one column", "dataset.comment_prefix"], {}),
        ("Ada O\ris O\r", 1, ["carriage return", "LF or CR LF"], {}),
        ("", 0, ["no sentences"], {}),
        ("\n \n", 0, ["no sentences"], {}),
        ("-DOCSTART- O\n\n", 0, ["no sentences"], {}),
        ("# only\n", 0, ["no sentences"], {"comment_prefix": "#"}),
        (b"Ada O\n\xe9t\xe9 O\n", 2, ["not UTF-8"], {}),
    ],
)
def test_files_that_cannot_be_used(write, content, line, words, more):
    told(write(content), line, *words, **more)


def test_missing_file(tmp_path):
    told(str(tmp_path / "none.conll"), 0, "there is no such file")


def test_long_line_is_cut_in_the_message(write):
    assert len(told(write("x" * 5000), 1, "only one column")) < 300


def test_sentence_of_many_tokens(write):
    [example] = read(write("x B-A\n" * 5000))
    assert len(example.tokens) == len(example.label) == 5000
