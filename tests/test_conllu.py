"""CoNLL-U: words, texts, tags and comments as the format defines them, and what each kind of bad file is told."""

import gzip

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnntext import options, registry
from rnntext.contracts import Dataset
from rnntext.datasets.conllu import ConlluDataset
from rnntext.errors import DataError, UsageError

DEFAULTS = {"lemma": "lem", "upos": "X", "xpos": "x1", "feats": "_", "head": "0", "deprel": "dep", "deps": "_"}


def word(number, form, misc="_", **cells):
    cells = {"form": form, **DEFAULTS, **cells}
    names = ("form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps")
    return "\t".join([str(number), *(cells[name] for name in names), misc]) + "\n"


def plain(*forms, **cells):
    return "".join(word(number, form, **cells) for number, form in enumerate(forms, start=1)) + "\n"


@pytest.fixture
def write(tmp_path):
    def write_file(content, name="a.conllu"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
        return str(path)

    return write_file


def read(path, **more):
    return list(ConlluDataset(train=path, **more).read("train"))


def told(path, line, *words, **more):
    """Reading ends in an error that names file and line and says all of these."""
    with pytest.raises(DataError) as caught:
        read(path, **more)
    assert (caught.value.file, caught.value.line) == (path, line), str(caught.value)
    for part in words:
        assert part in caught.value.message, f"{part!r} is not in: {caught.value.message}"


# --- the part --------------------------------------------------------------------------------------------------


def test_part_follows_the_contract_and_documents_each_option():
    part = registry.get("datasets", "conllu")
    found = options.options_of(part, "datasets")
    assert all(option.help for option in found.values())
    assert found["test"].is_path
    dataset = part(train="nowhere/a.conllu", validation="nowhere/b.conllu")  # touches no file
    assert isinstance(dataset, Dataset)
    assert dataset.splits() == ("train", "validation")
    assert dataset.files("validation") == ("nowhere/b.conllu",)
    for method in (dataset.read, dataset.files):
        with pytest.raises(UsageError, match=r"set dataset\.test"):
            method("test")


@pytest.mark.parametrize(
    ("given_options", "key", "reason"),
    [
        ({"label_column": "upso"}, "label_column", "Did you mean 'upos'?"),
        ({"label_column": "id"}, "label_column", "no column of CoNLL-U"),
        ({"label_column": "upos:X"}, "label_column", "misc:KEY or feats:KEY"),
        ({"label_column": "misc:"}, "label_column", "names no key"),
        ({"label_column": "FORM"}, "label_column", "its own tag"),
        ({"label_column": "lemma", "token_column": "lemma"}, "label_column", "its own tag"),
        ({"repair": True}, "repair", 'scheme = "none"'),
        ({"group_fields": ["text"]}, "group_fields", "the text itself"),
        ({"group_fields": ["genre", "genre"]}, "group_fields", "twice"),
        ({"label_column": "form", "token_column": "lemma"}, None, ""),
        ({"label_column": "Misc:NER", "scheme": "bio", "repair": True, "group_fields": ["genre"]}, None, ""),
    ],
)
def test_options_that_cannot_work_together(given_options, key, reason):
    values, faults = options.validate(options.options_of(ConlluDataset), {"train": "a", **given_options}, {})
    assert not faults
    found = list(ConlluDataset.check_options(values))
    assert [fault_key for fault_key, _ in found] == ([key] if key else [])
    assert all(reason in text for _, text in found)


def test_column_that_is_not_there_is_refused_by_the_constructor():
    with pytest.raises(UsageError, match="no column of CoNLL-U"):
        ConlluDataset(train="a", label_column="pos")


# --- words and tags --------------------------------------------------------------------------------------------


def test_sentences_with_tags_and_lines(write):
    path = write(
        "# sent_id = 1\n" + word(1, "Ada", upos="PROPN") + word(2, "naps", upos="VERB") + "\n" + plain("Yes")
    )
    first, second = read(path)
    assert (first.tokens, first.label) == (("Ada", "naps"), ("PROPN", "VERB"))
    assert (first.text, first.scheme, first.line, dict(first.fields)) == ("Ada naps", "none", 2, {})
    assert (second.tokens, second.line) == (("Yes",), 5)


@pytest.mark.parametrize("change", [lambda text: text.replace("\n", "\r\n"), str.rstrip, lambda text: text + "\n \n"])
def test_line_ends_and_blank_lines(write, change):
    assert [example.tokens for example in read(write(change(plain("a", "b") + plain("c"))))] == [("a", "b"), ("c",)]


def test_packed_file(write):
    assert len(read(write(gzip.compress(plain("a").encode()), "a.conllu.gz"))) == 1


def test_ranges_and_empty_nodes_are_no_words(write):
    path = write(
        word("1-2", "zum", upos="_")
        + word(1, "zu", upos="ADP")
        + word(2, "dem", upos="DET")
        + word("2.1", "gone", upos="_")
        + word(3, "Fest", upos="NOUN")
        + "\n"
        + word("0.1", "gone")
        + word(1, "ja")
    )
    dataset = ConlluDataset(train=path)
    for _ in range(2):  # a second reading counts afresh
        assert [example.tokens for example in dataset.read("train")] == [("zu", "dem", "Fest"), ("ja",)]
        assert dataset.notes == {"multiword ranges skipped in a.conllu": 1, "empty nodes skipped in a.conllu": 2}
    assert [example.label for example in dataset.read("train")] == [("ADP", "DET", "NOUN"), ("X",)]


def test_ids_of_two_digits(write):
    assert len(read(write(plain(*"abcdefghijkl")))[0].tokens) == 12


@pytest.mark.parametrize(
    ("label_column", "tag"),
    [
        ("UPOS", "X"),
        ("xpos", "x1"),
        ("lemma", "lem"),
        ("deprel", "dep"),
        ("head", "0"),
        ("feats", "Case=Nom|Number=Sing"),
        ("feats:Number", "Sing"),
        ("feats:Num", "_"),
        ("misc:Gloss", "a=b"),
        ("Misc:NER", "B-PER"),
        ("deps", "_"),
    ],
)
def test_label_columns(write, label_column, tag):
    content = word(1, "Ada", feats="Case=Nom|Number=Sing", misc="XNER=no|NER=B-PER|Gloss=a=b")
    content += word(2, "Lee", feats="Num=3", misc="_")
    assert read(write(content), label_column=label_column)[0].label[0] == tag


def test_words_without_the_key(write):
    path = write(word(1, "Ada", misc="NER=B-PER|SpaceAfter=No") + word(2, "naps") + "\n" + plain("now"))
    assert [example.label for example in read(path, label_column="misc:NER", scheme="bio")] == [
        ("B-PER", "O"),
        ("O",),
    ]
    dataset = ConlluDataset(train=path, label_column="misc:NER")  # the scheme is none unless set
    assert [example.label for example in dataset.read("train")] == [("B-PER", "_"), ("_",)]
    note = 'sentences with tags like those of spans, read as scheme "none" (set dataset.scheme if they are)'
    assert dataset.notes == {f"{note} in a.conllu": 1}


def test_key_that_no_word_has(write):
    path = write(plain("Ada", "naps", misc="ner=B-PER"))
    told(path, 0, "words without NER= in misc: all 2", "dataset.label_column", label_column="misc:NER")
    dataset = ConlluDataset(train=path, label_column="misc:NER", scheme="bio")  # a file may have no entities
    assert [example.label for example in dataset.read("train")] == [("O", "O")]
    assert dataset.notes == {"words without NER= in misc, all of them, read as O in a.conllu": 2}


def test_broken_tags_are_refused_or_repaired(write):
    path = write("# c\n" + word(1, "in") + word("2-3", "x") + word(2, "Oslo", misc="NER=I-LOC") + "\n")
    told(path, 4, "I-LOC stands after O", "dataset.repair = true", label_column="misc:NER", scheme="bio")
    dataset = ConlluDataset(train=path, label_column="misc:NER", scheme="bio", repair=True)
    assert next(dataset.read("train")).label == ("O", "B-LOC")
    list(dataset.read("train"))
    assert dataset.notes["sentences with broken tags repaired in a.conllu"] == 1


def test_tag_of_another_scheme(write):
    told(write(plain("Ada", "naps")), 1, "'X' is none of scheme", 'scheme = "none"', scheme="bio")


def test_tokens_may_be_lemmas(write):
    path = write("# text = Ada napped.\n" + word(1, "Ada", lemma="Ada") + word(2, "napped", lemma="nap"))
    [example] = read(path, token_column="lemma")
    assert example.tokens == ("Ada", "nap")
    assert example.text == "Ada napped."  # they stand in it
    path = write("# text = Ada slept.\n" + word(1, "Ada", lemma="Ada") + word(2, "slept", lemma="sleep"))
    assert read(path, token_column="lemma")[0].text == "Ada sleep"


@pytest.mark.parametrize(
    ("cells", "more", "words"),
    [
        ({"upos": "_"}, {}, ["'b' has no upos", "dataset.label_column"]),
        ({"xpos": "_"}, {"label_column": "xpos"}, ["'b' has no xpos"]),
        ({"lemma": "_"}, {"token_column": "lemma"}, ["'b' has no lemma", "dataset.token_column"]),
        ({"upos": ""}, {}, ["the upos is empty"]),
        ({"form": ""}, {}, ["the form is empty"]),
        ({"misc": "NER="}, {"label_column": "misc:NER"}, ["nothing follows NER="]),
    ],
)
def test_words_that_lack_something(write, cells, more, words):
    told(write(word(1, "a") + word(2, **{"form": "b", **cells})), 2, *words, **more)


def test_underscores_that_say_something(write):
    path = write(word(1, "_", lemma="_", feats="_"))
    assert read(path, label_column="feats")[0].label == ("_",)
    assert read(path, token_column="lemma")[0].tokens == ("_",)


# --- texts -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "Ada's cat  (old) = 10 000 km.",
        "\u201eAda\u201c: 's cat ( old ) = 10 000 km \u2026 .",
        "# Ada's cat(old)=10 000 km.",
    ],
)
def test_text_is_the_comment_where_the_words_stand_in_it(write, text):
    forms = ["Ada", "'s", "cat", "(", "old", ")", "=", "10 000", "km", "."]
    [example] = read(write(f"# text_en = no\n# text = {text}\n" + plain(*forms)))
    assert example.text == text
    assert example.tokens == tuple(forms)


def test_text_of_words_that_do_not_stand_in_the_comment(write):
    content = "# text = zum Fest (heute).\n" + word("1-2", "zum") + word(1, "zu") + word(2, "dem") + word(3, "Fest")
    content += word(4, "(", "SpaceAfter=No") + word(5, "heute", "X=1|SpaceAfter=No") + word(6, ")", "SpaceAfter=No")
    content += word(7, ".", "NoSpaceAfter=No")
    assert read(write(content))[0].text == "zu dem Fest (heute)."


def test_words_that_stand_in_the_comment_in_another_order(write):
    assert read(write("# text = b a\n" + plain("a", "b")))[0].text == "a b"
    assert read(write("# text = a b\n" + plain("a", "a", "b")))[0].text == "a a b"


def test_blank_after_a_range_is_the_matter_of_the_range(write):
    content = word("1-2", "zum", "SpaceAfter=No") + word(1, "zu") + word(2, "dem") + word(3, "!") + word(4, "Ja")
    assert read(write(content))[0].text == "zu dem! Ja"


form = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp", "Zs"]), min_size=1, max_size=4)


@settings(max_examples=60, deadline=None)
@given(words=st.lists(st.tuples(form, st.booleans()), min_size=1, max_size=6), with_text=st.booleans())
def test_every_word_stands_in_the_text(tmp_path_factory, words, with_text):
    content = ""
    text = "".join(token + " " * blank for token, blank in words).removesuffix(" ")
    if with_text:
        content = f"# text = {text}\n"
    for number, (token, blank) in enumerate(words, start=1):
        content += word(number, token, "_" if blank else "SpaceAfter=No")
    path = tmp_path_factory.mktemp("texts") / "a.conllu"
    path.write_bytes(content.encode())
    [example] = read(str(path))
    assert example.tokens == tuple(token for token, _ in words)
    assert example.text == text


# --- comments --------------------------------------------------------------------------------------------------


def test_group_fields_are_comments(write):
    path = write("# genre = a = b\n#place=  \n" + plain("x") + "# genre\n" + plain("y") + plain("z"))
    dataset = ConlluDataset(train=path, group_fields=["genre", "place"])
    found = [dict(example.fields) for example in dataset.read("train")]
    assert found == [{"genre": "a = b", "place": ""}, {"genre": "", "place": ""}, {"genre": "", "place": ""}]
    assert dataset.notes == {
        "sentences without the comment 'genre' in a.conllu": 2,
        "sentences without the comment 'place' in a.conllu": 3,
    }


def test_documents_and_paragraphs_last_until_the_next(write):
    names = ["newdoc id", "newpar id", "meta::genre", "speaker"]
    path = write(
        "# newdoc id = d1\n# meta::genre = news\n# newpar id = p1\n# speaker = Ada\n"
        + plain("a")
        + plain("b")
        + "# newpar\n"
        + plain("c")
        + "# newdoc id = d2\n"
        + plain("d")
        + "# newdoc\n"
        + plain("e")
    )
    found = [tuple(example.fields[name] for name in names) for example in read(path, group_fields=names)]
    assert found == [
        ("d1", "p1", "news", "Ada"),
        ("d1", "p1", "news", ""),
        ("d1", "", "news", ""),
        ("d2", "", "", ""),
        ("", "", "", ""),
    ]


# --- files that cannot be used ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "line", "words"),
    [
        ("# c\n1 Ada Ada X _ _ 0 root _ _\n", 2, ["spaces for tabs"]),
        ("1\tAda\tAda\tX\n", 1, ["4 columns, but CoNLL-U has 10", 'dataset.type = "conll"']),
        ("Ada\n", 1, ["1 column, but"]),
        (plain("a").rstrip() + "\tmore\n", 1, ["11 columns"]),
        (plain("a").rstrip("\n") + "\n" + plain("b"), 2, ["word 1", "word 2 was due", "blank line"]),
        (word(1, "a") + word(3, "b"), 2, ["the id '3' where 2 was due", "without gaps"]),
        (word(0, "a"), 1, ["the id '0' where 1"]),
        (word("a", "a"), 1, ["the id 'a' where 1"]),
        (word("1-", "a"), 1, ["the id '1-'"]),
        ("# c\n\n" + plain("a"), 1, ["a sentence without words"]),
        (plain("a") + "# c\n# d\n", 3, ["a sentence without words"]),
        (word("1-2", "a"), 1, ["a sentence without words"]),
        ("", 0, ["no sentences"]),
        ("\n\n", 0, ["no sentences"]),
        (plain("a").replace("\n", "\r"), 1, ["carriage return"]),
        (plain("a").encode() + b"# \xff\n", 3, ["not UTF-8"]),
    ],
)
def test_files_that_cannot_be_used(write, content, line, words):
    told(write(content), line, *words)
