"""The datasets: what is read, what is left exactly as it was, and what each kind of bad data is told."""

import codecs
import csv
import gzip
import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnntext import options, registry
from rnntext.contracts import Dataset, Example
from rnntext.datasets.csv import CsvDataset
from rnntext.datasets.huggingface import HuggingFaceDataset
from rnntext.datasets.jsonl import JsonLinesDataset
from rnntext.datasets.rows import text_lines
from rnntext.errors import DataError, UsageError

GOOD = '{"text": "fine soup", "label": "good"}\n'
ODD_TEXTS = [
    "",
    " ",
    "\t",
    "😀👩\u200d🍳",
    "zero\u200bwidth\ufeff",
    "nul\0nul",
    "a\u2028b\x85c\x0bd\x1ce",
    "naïve 汤",
]

# Texts that UTF-8 can hold: anything but lone surrogates.
any_text = st.text(st.characters(exclude_categories=["Cs"]))


@pytest.fixture
def write(tmp_path):
    def write_file(content, name="reviews.jsonl"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
        return str(path)

    return write_file


def read_all(dataset, split="train"):
    return list(dataset.read(split))


def jsonl(path, **more):
    return read_all(JsonLinesDataset(train=path, **more))


def table(path, **more):
    return read_all(CsvDataset(train=path, **more))


def fault(call, *arguments, **more):
    with pytest.raises(DataError) as caught:
        call(*arguments, **more)
    return caught.value


def told(error, line, *words):
    """The error names the line and says all of these."""
    assert error.line == line, str(error)
    for word in words:
        assert word in error.message, f"{word!r} is not in: {error.message}"


# --- what all three promise ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["csv", "huggingface", "jsonl"])
def test_part_follows_the_contract_and_documents_each_option(name):
    part = registry.get("datasets", name)
    found = options.options_of(part, "datasets")
    assert all(option.help for option in found.values()), "an option without a line in Args"
    assert options.json_schema(found)["properties"]["group_fields"] == {
        "default": [],
        "items": {"type": "string"},
        "title": "Group Fields",
        "type": "array",
    }
    assert found["train"].is_path == (name != "huggingface")
    dataset = part(train="nowhere/train.csv", test="nowhere/test.csv")  # touches no file
    assert isinstance(dataset, Dataset)
    assert dataset.splits() == ("train", "test")
    assert dataset.files("test") == ("nowhere/test.csv",)
    assert dataset.notes == {}


@pytest.mark.parametrize("part", [CsvDataset, HuggingFaceDataset, JsonLinesDataset])
def test_split_that_was_not_given_is_refused_at_once(part):
    dataset = part(train="train.csv")
    for method in (dataset.read, dataset.files):
        with pytest.raises(UsageError, match=r"no validation split, only train; set dataset\.validation"):
            method("validation")


@pytest.mark.parametrize(
    ("part", "given", "key", "reason"),
    [
        (JsonLinesDataset, {"text_field": "t", "label_field": "t"}, "label_field", "its own label"),
        (CsvDataset, {"group_fields": ["text"]}, "group_fields", "the text itself"),
        (HuggingFaceDataset, {"path": "a/b", "train": "train", "group_fields": ["s", "s"]}, "group_fields", "twice"),
        (CsvDataset, {"label_separator": "|"}, "label_separator", "multi_label"),
        (CsvDataset, {"label_separator": "\t", "delimiter": "tab", "multi_label": True}, "label_separator", "tab"),
        (HuggingFaceDataset, {"train": "train"}, "train", "no data file"),
        (HuggingFaceDataset, {"train": "a.csv", "test": "test"}, "test", "no data file"),
        (HuggingFaceDataset, {"train": "a.csv", "name": "plain"}, "name", "needs path"),
        (HuggingFaceDataset, {"path": "a/b", "train": "a.csv"}, "train", "leave path out"),
    ],
)
def test_options_that_cannot_work_together(part, given, key, reason):
    values, faults = options.validate(options.options_of(part, "datasets"), {"train": "a.jsonl", **given}, {})
    assert not faults
    found = list(part.check_options(values))
    assert [fault_key for fault_key, _ in found] == [key]
    assert reason in found[0][1]


@pytest.mark.parametrize("part", [CsvDataset, JsonLinesDataset])
def test_options_that_work(part):
    values, _ = options.validate(
        options.options_of(part), {"train": "a", "multi_label": True, "group_fields": ["source"]}, {}
    )
    assert list(part.check_options(values)) == []


# --- lines of text ---------------------------------------------------------------------------------------------


def test_lines_end_at_line_feeds_only(write):
    path = write("one\u2028still\x85still\x0bstill\rstill\r\ntwo\r\r\n\nlast\r")
    expected = [(1, "one\u2028still\x85still\x0bstill\rstill"), (2, "two\r"), (3, ""), (4, "last")]
    assert list(text_lines(path)) == expected


@given(
    lines=st.lists(any_text.map(lambda text: text.replace("\n", "").rstrip("\r"))),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_lines_come_back_as_written(tmp_path_factory, lines, end):
    lines = [line.removeprefix("\ufeff") for line in lines]
    path = tmp_path_factory.mktemp("lines") / "lines.txt"
    path.write_bytes("".join(line + end for line in lines).encode("utf-8"))
    assert list(text_lines(str(path))) == list(enumerate(lines, start=1))


def test_byte_order_mark_is_left_out_once(write):
    mark = codecs.BOM_UTF8.decode()
    assert list(text_lines(write(f"{mark}a\n{mark}b\n"))) == [(1, "a"), (2, f"{mark}b")]


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_wrong_encoding_names_line_and_byte_offset(write, mark):
    good = (mark + "naïve\r\n").encode("utf-8")
    path = write(good + "une tête".encode("latin-1") + b"\n")
    error = fault(lambda: list(text_lines(path)))
    assert error.file == path
    told(error, 2, f"0xea at byte offset {len(good) + 5}", "save the file as UTF-8")
    assert open_bytes(path)[len(good) + 5] == 0xEA


def open_bytes(path):
    with open(path, "rb") as file:
        return file.read()


def test_wrong_encoding_on_the_first_line_after_a_mark(write):
    path = write(codecs.BOM_UTF8 + b"ab\xff\n")
    told(fault(lambda: list(text_lines(path))), 1, "0xff at byte offset 5")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("text,label\n".encode("utf-16"), "looks like UTF-16; save the file as UTF-8"),
        (codecs.BOM_UTF16_BE + "text\n".encode("utf-16-be"), "looks like UTF-16"),
        (gzip.compress(b"text,label\n", mtime=0), ".gz"),
        (b"PK\x03\x04 and so on", "zip archive or a spreadsheet"),
        (b"PAR1\x15 and so on", 'dataset.type = "huggingface"'),
        ("汤很好\n".encode("gb18030"), "save the file as UTF-8"),
    ],
)
def test_files_that_are_no_utf8_text(write, content, words):
    for read in (jsonl, table):
        told(fault(read, write(content)), 1, words)


def test_gzip_is_unpacked_and_one_cut_short_is_reported(write):
    text = "".join(json.dumps({"text": f"{number * 7919}", "label": "x"}) + "\n" for number in range(9000))
    packed = gzip.compress(text.encode())
    whole = jsonl(write(packed, "whole.jsonl.gz"))
    assert whole[-1] == Example(str(8999 * 7919), label="x", line=9000)
    error = fault(jsonl, write(packed[: len(packed) // 2], "cut.jsonl.GZ"))
    told(error, error.line, "cut short or damaged", "copy or pack it again")
    assert 1 < error.line < 9000
    told(fault(jsonl, write(GOOD, "plain.jsonl.gz")), 1, "Not a gzipped file")
    for place in (10, -5):  # the first block's kind, the checksum at the end
        damaged = bytearray(packed)
        damaged[place] ^= 0xFF
        assert "cut short or damaged" in fault(jsonl, write(bytes(damaged), "damaged.jsonl.gz")).message


# --- faults that jsonl and csv share -----------------------------------------------------------------------------


@pytest.mark.parametrize("read", [jsonl, table])
def test_missing_file_folder_and_empty_file(read, write, tmp_path):
    missing = str(tmp_path / "gone.jsonl")
    error = fault(read, missing)
    assert str(error) == f"{missing}: there is no such file; correct the path in [dataset]"
    told(fault(read, str(tmp_path)), 0, "this is a folder; name one file")
    for content in ("", "\n \n\n", "\ufeff"):
        told(fault(read, write(content)), 0, "no rows", "the file is empty")


@pytest.mark.parametrize("read", [jsonl, table])
def test_file_that_the_system_refuses(read, write, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("rnntext.datasets.rows._open_bytes", refuse)
    told(fault(read, write(GOOD)), 0, "cannot be read (Permission denied)", "permissions")


@pytest.mark.parametrize("part", [JsonLinesDataset, CsvDataset])
def test_interrupt_passes_through(part, write, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("rnntext.datasets.rows._decoded", interrupt)
    limit = csv.field_size_limit()
    with pytest.raises(KeyboardInterrupt):
        read_all(part(train=write(GOOD), **({"delimiter": ","} if part is CsvDataset else {})))
    assert csv.field_size_limit() == limit


@pytest.mark.parametrize(
    ("part", "head", "row"),
    [(JsonLinesDataset, "", '{"text": "%s", "label": "x"}\n'), (CsvDataset, "text,label\n", '"%s",x\n')],
)
def test_memory_stays_flat(part, head, row, write):
    rows = 3000
    path = write(head + row % ("soup " * 400) * rows)  # 6 MB
    tracemalloc.start()
    try:
        assert sum(1 for _ in part(train=path).read("train")) == rows
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_reading_may_stop_early_and_start_again(write):
    dataset = JsonLinesDataset(train=write(GOOD * 3))
    assert next(dataset.read("train")).line == 1
    assert [example.line for example in dataset.read("train")] == [1, 2, 3]


# --- JSON lines ------------------------------------------------------------------------------------------------


@given(rows=st.lists(st.tuples(any_text, any_text.filter(str.strip)), min_size=1), plain=st.booleans())
def test_json_lines_come_back_unchanged(tmp_path_factory, rows, plain):
    path = tmp_path_factory.mktemp("jsonl") / "any.jsonl"
    lines = [json.dumps({"text": text, "label": label}, ensure_ascii=plain) for text, label in rows]
    path.write_bytes("\r\n".join(lines).encode("utf-8"))
    read = jsonl(str(path))
    assert [(example.text, example.label) for example in read] == rows
    assert [example.line for example in read] == list(range(1, len(rows) + 1))


def test_odd_texts_are_left_alone(write):
    texts = [*ODD_TEXTS, "m" * 1_000_000]
    path = write("".join(json.dumps({"text": text, "label": "x"}, ensure_ascii=False) + "\n" for text in texts))
    assert [example.text for example in jsonl(path)] == texts


@pytest.mark.parametrize("label", ["NA", "null", "None", "nan", "0", " padded "])
def test_words_that_look_like_nothing_are_labels(write, label):
    assert jsonl(write(json.dumps({"text": "soup", "label": label})))[0].label == label
    assert table(write(f"text,label\nsoup,{label}\n", "reviews.csv"))[0].label == label


@pytest.mark.parametrize(
    ("value", "label"),
    [("1", "1"), ("0", "0"), ("-3", "-3"), ("true", "true"), ("false", "false"), ("1.0", "1.0"), ("2.50", "2.5")],
)
def test_numbers_and_truth_values_become_labels(write, value, label):
    assert jsonl(write(f'{{"text": "soup", "label": {value}}}'))[0].label == label


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("null", "is null; give the row a label, or take the row out"),
        ('""', "is empty; give the row a label"),
        ('" \\t "', "is blank; give the row a label"),
        ("1e999", "is inf; write a string"),
        ('{"a": 1}', "is {'a': 1}; write a string"),
        ('["good"]', "is a list, ['good']; set dataset.multi_label = true"),
        ("NaN", "NaN is not JSON; write null or a string"),
        ("-Infinity", "-Infinity is not JSON"),
        ("1" * 5000, "write it as a string"),
        ('"\\ud83d"', "\\ud83d is one half of a character"),
    ],
)
def test_labels_that_cannot_be_used(write, value, words):
    path = write(GOOD + f'{{"text": "soup", "label": {value}}}\n')
    error = fault(jsonl, path)
    told(error, 2, words)
    assert error.file == path


@pytest.mark.parametrize(
    ("value", "labels"),
    [
        ("[]", ()),
        ('["b", "a"]', ("b", "a")),
        ('[1, "x", 0]', ("1", "x", "0")),
        ('"a;b"', ("a;b",)),
        ("7", ("7",)),
    ],
)
def test_several_labels(write, value, labels):
    assert jsonl(write(f'{{"text": "soup", "label": {value}}}'), multi_label=True)[0].label == labels


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ('["a", "a"]', "has 'a' more than once"),
        ('["1", 1]', "has '1' more than once"),
        ('["a", null]', "holds None; write strings or integers"),
        ("[1.5]", "holds 1.5; write strings or integers"),
        ("[true]", "holds True; write strings or integers"),
        ('[["a"]]', "holds ['a']; write strings or integers"),
        ('["a", " "]', "has an empty label among others"),
        ("null", "or an empty list where no label applies"),
        ('""', "or an empty list where no label applies"),
    ],
)
def test_lists_of_labels_that_cannot_be_used(write, value, words):
    told(fault(jsonl, write(f'{{"text": "soup", "label": {value}}}'), multi_label=True), 1, words)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (
            '{"Text": "soup", "label": "x"}',
            "no column 'text'; its columns: Text, label. Did you mean 'Text'? Set dataset.text_field.",
        ),
        (
            '{"text": "soup", "lable": "x"}',
            "no column 'label'; its columns: text, lable. Did you mean 'lable'? Set dataset.label_field.",
        ),
        ("{}", "no column 'text'; it has no columns"),
        ('{"text": null, "label": "x"}', "the text in 'text' is null; write a string"),
        ('{"text": 12, "label": "x"}', "the text in 'text' is 12, not a string"),
        ('{"text": "a", "text": "b", "label": "x"}', "the key 'text' is there twice in one object; keep one"),
        ('{"text": "a", "label": "x", "more": {"k": 1, "k": 2}}', "the key 'k' is there twice"),
        ('{"text": "a", "label": "x"', "not valid JSON at column 27:"),
        ('{"text": "a", "label": "x"},', "not valid JSON at column 28: Extra data"),
        ('{"text": "tab\there", "label": "x"}', "not valid JSON at column 14:"),
        ("soup", "not valid JSON at column 1:"),
        ('"soup"', "JSON, but not an object; one object a line is needed"),
        ("12", "JSON, but not an object"),
        ('["soup", "x"]', "this is a JSON array; one object a line is needed"),
        ('{"a":' * 100_000, "nested too deeply"),
        ('{"text": "half \\uDC00", "label": "x"}', "\\udc00 is one half of a character"),
    ],
)
def test_rows_that_cannot_be_used(write, row, words):
    told(fault(jsonl, write(GOOD + GOOD + row)), 3, words)


def test_file_that_is_one_array(write):
    rows = [{"text": "soup", "label": "x"}, {"text": "stew", "label": "y"}]
    for indent in (None, 2):
        told(fault(jsonl, write(json.dumps(rows, indent=indent))), 1, "this is a JSON array; one object", "jq -c")


def test_whole_characters_written_as_pairs_are_fine(write):
    assert jsonl(write(r'{"text": "\ud83d\ude00 \\ud", "label": "x"}'))[0].text == "😀 \\ud"


def test_blank_lines_in_the_middle_are_skipped_and_counted(write):
    path = write(f"\n{GOOD}\n  \n{GOOD}\n\n\n")
    dataset = JsonLinesDataset(train=path)
    for _ in range(2):  # a second reading does not count twice
        assert [example.line for example in dataset.read("train")] == [2, 5]
        assert dataset.notes == {"blank lines skipped in reviews.jsonl": 3}


def test_files_of_one_name_are_told_apart_in_notes(write):
    train, test = write(f"{GOOD}\n{GOOD}", "train/a.jsonl"), write(f"{GOOD}\n\n{GOOD}", "test/a.jsonl")
    dataset = JsonLinesDataset(train=train, test=test)
    read_all(dataset)
    read_all(dataset, "test")
    assert dataset.notes == {f"blank lines skipped in {train}": 1, f"blank lines skipped in {test}": 2}


def test_group_fields_and_other_names(write):
    path = write('{"body": "soup", "stars": 5, "shop": "north", "year": 2024, "vip": null, "extra": [1]}')
    names = {"text_field": "body", "label_field": "stars"}
    [example] = jsonl(path, **names, group_fields=["shop", "year", "vip"])
    assert example == Example("soup", label="5", fields={"shop": "north", "year": "2024", "vip": ""}, line=1)
    assert jsonl(path, **names)[0].fields == {}
    told(fault(jsonl, path, **names, group_fields=["ship"]), 1, "no column 'ship'", "'shop'?", "dataset.group_fields")
    told(fault(jsonl, path, **names, group_fields=["extra"]), 1, "the group field 'extra' is [1]; write a string")


# --- CSV and TSV -----------------------------------------------------------------------------------------------


@given(
    rows=st.lists(st.tuples(any_text, any_text.filter(str.strip)), min_size=1),
    delimiter=st.sampled_from([",", ";", "|"]),
    end=st.sampled_from(["\n", "\r\n"]),
    detect=st.booleans(),
)
def test_csv_comes_back_unchanged(tmp_path_factory, rows, delimiter, end, detect):
    path = tmp_path_factory.mktemp("csv") / "any.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL)
        writer.writerows([("label", "text"), *((label, text) for text, label in rows)])
    read = table(str(path), delimiter="auto" if detect else delimiter)
    assert [(example.text, example.label) for example in read] == rows


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "text,label\nfine; soup,x\n"),
        ("a.csv", "text;label\nfine; soup,x\n".replace("fine; soup,x", '"fine; soup";x')),
        ("a.txt", 'when,"text"|"label"\nnow|fine; soup|x\n'.replace("when,", "when|")),
        ("a.csv", "text\tlabel\nfine; soup\tx\n"),
        ("a.tsv", "text\tlabel\nfine; soup\tx\n"),
        ("a.csv", "\ufefftext,label\r\nfine; soup,x\r\n"),
        ("a.csv", '"text","label"\n"fine; soup","x"'),
        ("a.csv", "text,label,,\nfine; soup,x,,\n"),  # nameless columns, as spreadsheets leave them
    ],
)
def test_delimiter_is_found(write, name, content):
    [example] = table(write(content, name))
    assert (example.text, example.label, example.line) == ("fine; soup", "x", 2)


def test_packed_tsv(write):
    assert table(write(gzip.compress(b"text\tlabel\na,b\tx\n"), "a.TSV.gz"))[0].text == "a,b"
    error = fault(table, write(gzip.compress(b"one,two,three\tlabel\n"), "b.tsv.gz"))
    told(error, 1, "(Cut at: tab.)")  # although commas would cut it into more columns


def test_delimiter_that_is_given_is_taken(write):
    path = write("text,x;label\nsoup;good\n", "a.csv")
    assert table(path, delimiter=";", text_field="text,x")[0].label == "good"
    told(fault(table, path, delimiter=","), 1, "no column 'label'; its columns: text, x;label.", "(Cut at: ,.)")


def test_header_that_cannot_be_cut_is_shown(write):
    error = fault(table, write("\nsoup of the day\nstew\n", "a.csv"))
    told(error, 2, "cannot tell the delimiter", "'soup of the day'", "dataset.text_field", "dataset.delimiter")
    error = fault(table, write('"' + "m" * 300_000 + "\n", "long.csv"))  # longer than the csv module's usual limit
    told(error, 1, "cannot tell the delimiter")
    assert len(error.message) < 600


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("review,label", "no column 'text'; its columns: review, label. Set dataset.text_field. (Cut at: ,.)"),
        ("text;lable", "no column 'label'; its columns: text, lable. Did you mean 'lable'? Set dataset.label_field."),
        ("text,label,text", "the header has the column 'text' twice; rename one"),
        ('"text"\t"label"', "quotation marks are ordinary characters"),
    ],
)
def test_headers_that_cannot_be_used(write, header, words):
    path = write(f"{header}\nsoup,x\n", "a.csv")
    error = fault(table, path)
    told(error, 1, words)
    assert error.file == path


def test_many_long_column_names_are_cut(write):
    header = ",".join(f"{number}{'c' * 500}" for number in range(100))
    error = fault(table, write(header, "a.csv"))
    told(error, 1, "and 70 more")
    assert len(error.message) < 3000


def test_line_breaks_in_cells_and_the_lines_of_rows(write):
    path = write('text,label\n"a\nb\r\n\nc",x\n"d ""e"", f",y\n,z\n', "a.csv")
    dataset = CsvDataset(train=path)
    read = read_all(dataset)
    assert [(example.text, example.line) for example in read] == [("a\nb\r\n\nc", 2), ('d "e", f', 6), ("", 7)]
    assert dataset.notes == {}


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("soup,x,extra", "3 cells in a row, but 2 columns in the header; put a text that holds ','"),
        ("soup", "1 cell in a row, but 2 columns"),
        ('a, "b, c",x', "4 cells in a row"),
        (",", "the label in 'label' is empty"),
        ("soup,", "the label in 'label' is empty; give the row a label"),
        ("soup,  ", "the label in 'label' is blank"),
        ('"so"up,x', "double the marks inside it"),
        ('"soup,x\nstew,y\nmore,z', "not valid CSV: unexpected end of data. In the row that starts here, end each"),
        ("soup\rstew,x", "carriage return alone; save the file with line ends LF"),
    ],
)
def test_csv_rows_that_cannot_be_used(write, row, words):
    told(fault(table, write(f'text,label\n"two\nlines",x\n{row}\n', "a.csv")), 4, words)


def test_error_inside_a_row_of_several_lines_names_its_first_line(write):
    told(fault(table, write('text,label\n"a\nb\nc",\n', "a.csv")), 2, "is empty")


def test_wrong_encoding_in_csv_names_its_own_line(write):
    path = write(b'text,label\n"a\nb\xe4",x\n', "a.csv")
    told(fault(table, path), 3, "0xe4 at byte offset 15")


@pytest.mark.parametrize("delimiter", [",", "tab"])
def test_old_macintosh_line_ends(write, delimiter):
    content = "text,label\rsoup,x\rstew,y\r".replace(",", "\t" if delimiter == "tab" else ",")
    for option in ("auto", delimiter):
        told(fault(table, write(content, "a.csv"), delimiter=option), 1, "carriage return alone")


def test_header_alone(write):
    told(fault(table, write("text,label\n\n", "a.csv")), 0, "no rows: there is a header and nothing below it")


def test_long_cells_are_read_and_the_limit_of_the_process_is_kept(write):
    long = "m" * 1_000_000
    path = write(f'text,label\n"{long}",x\nshort,y\n', "a.csv")
    limit = csv.field_size_limit()
    rows = CsvDataset(train=path).read("train")
    assert next(rows).text == long
    assert csv.field_size_limit() == limit  # also between two rows
    assert next(rows).text == "short"
    assert csv.field_size_limit() == limit


def test_unclosed_quote_cannot_fill_the_memory(write, monkeypatch):
    monkeypatch.setattr("rnntext.datasets.csv.LONGEST_CELL", 1000)
    told(fault(table, write('text,label\nsoup,x\n"stew,y\n' + "more,z\n" * 1000, "a.csv")), 3, "end each quoted cell")


@pytest.mark.parametrize("name", ["a.csv", "a.tsv"])
def test_odd_characters_in_cells(write, name):
    cells = [text for text in ODD_TEXTS if "\t" not in text]
    tab = "\t" if name == "a.tsv" else ","
    path = write(f"text{tab}label\n" + "".join(f"{text}{tab}x\n" for text in cells), name)
    assert [example.text for example in table(path)] == cells


def test_csv_blank_lines_are_counted(write):
    dataset = CsvDataset(train=write("text,label\n\nsoup,x\n   \n\nstew,y\n\n", "a.csv"))
    assert [example.line for example in dataset.read("train")] == [3, 6]
    assert dataset.notes == {"blank lines skipped in a.csv": 3}


def test_csv_labels_split_by_separator(write):
    path = write('text,label\na,hot; sour\nb,\nc," "\nd,hot\n', "a.csv")
    assert [example.label for example in table(path, multi_label=True)] == [("hot", "sour"), (), (), ("hot",)]
    assert table(write("text,label\na,hot|sour\n", "b.csv"), multi_label=True, label_separator="|")[0].label == (
        "hot",
        "sour",
    )
    assert table(write("text,label\na,hot; sour\n", "c.csv"))[0].label == "hot; sour"
    told(fault(table, write("text,label\na,hot;hot\n", "d.csv"), multi_label=True), 2, "has 'hot' more than once")
    told(fault(table, write("text,label\na,hot;\n", "e.csv"), multi_label=True), 2, "has an empty label among others")


def test_csv_group_fields(write):
    path = write("text,label,shop\na,x,north\nb,y,\n", "a.csv")
    assert [example.fields for example in table(path, group_fields=["shop"])] == [{"shop": "north"}, {"shop": ""}]
    told(fault(table, path, group_fields=["town"]), 1, "no column 'town'", "dataset.group_fields")


def test_quotation_marks_in_tsv_are_ordinary(write):
    dataset = CsvDataset(train=write('text\tlabel\n"Soup" he said\tx\n"hm ""hm"""\ty\n"\tz\n', "a.tsv"))
    for _ in range(2):
        assert [example.text for example in dataset.read("train")] == ['"Soup" he said', '"hm ""hm"""', '"']
    assert dataset.notes == {"texts in quotation marks in a.tsv (marks kept: it is tab-delimited)": 1}
    error = fault(table, write('text\tlabel\n"two\nlines"\tx\n', "b.tsv"))
    told(error, 2, "1 cell in a row, but 2 columns", "quotation marks are ordinary characters")


@given(rows=st.lists(st.tuples(any_text, any_text.filter(str.strip)), min_size=1))
def test_tsv_comes_back_unchanged(tmp_path_factory, rows):
    rows = [tuple(cell.translate({9: " ", 10: " ", 13: " "}) + "." for cell in row) for row in rows]
    path = tmp_path_factory.mktemp("tsv") / "any.tsv"
    lines = ["text\tlabel", *("\t".join(row) for row in rows)]
    path.write_bytes("\n".join(lines).encode("utf-8"))
    assert [(example.text, example.label) for example in table(str(path))] == rows


# --- Hugging Face ----------------------------------------------------------------------------------------------


@pytest.fixture
def library(tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(datasets.config, "DOWNLOADED_DATASETS_PATH", str(tmp_path / "downloads"))
    monkeypatch.setattr(datasets.config, "EXTRACTED_DATASETS_PATH", str(tmp_path / "extracted"))
    return datasets


@pytest.fixture
def parquet(tmp_path):
    import pyarrow
    import pyarrow.parquet

    def write_table(columns, name="data.parquet"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pyarrow.parquet.write_table(pyarrow.table(columns), path)
        return str(path)

    return write_table


def hub(train, **more):
    return read_all(HuggingFaceDataset(train=train, **more))


def test_parquet_rows(library, parquet):
    path = parquet(
        {"text": [*ODD_TEXTS, "m" * 1_000_000] * 30, "label": [True, *[False] * 8] * 30, "n": [1, *[None] * 8] * 30}
    )
    dataset = HuggingFaceDataset(train=path, validation=path, group_fields=["n"])
    assert dataset.splits() == ("train", "validation")
    assert dataset.files("validation") == (path,)
    read = read_all(dataset)
    assert [example.text for example in read] == [*ODD_TEXTS, "m" * 1_000_000] * 30
    assert [example.label for example in read[:2]] == ["true", "false"]
    assert [example.fields for example in read[:2]] == [{"n": "1"}, {"n": ""}]
    assert [example.line for example in read] == list(range(1, 271))


def test_class_numbers_become_names(library, tmp_path):
    classes = library.ClassLabel(names=["bad", "good"])
    features = {"text": library.Value("string"), "label": classes, "tags": library.Sequence(classes), "shop": classes}
    columns = {"text": ["a", "b"], "label": [1, 0], "tags": [[0, 1], []], "shop": [0, -1]}
    path = str(tmp_path / "classes.parquet")
    library.Dataset.from_dict(columns, features=library.Features(features)).to_parquet(path)
    read = hub(path, group_fields=["shop"])
    assert [example.label for example in read] == ["good", "bad"]
    assert [example.fields["shop"] for example in read] == ["bad", ""]
    assert [example.label for example in hub(path, label_field="tags", multi_label=True)] == [("bad", "good"), ()]
    told(fault(hub, path, label_field="shop"), 2, "no class in 'shop'", "name a labelled split")
    told(fault(hub, path, label_field="tags"), 1, "set dataset.multi_label = true")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", '{"text": "NA", "label": "01"}\n{"text": "12", "label": "null"}\n'),
        ("a.json", '[{"text": "NA", "label": "01"}, {"text": "12", "label": "null"}]'),
        ("a.csv", "text,label\nNA,01\n12,null\n"),
        ("odd[1]*name.csv", "text,label\nNA,01\n12,null\n"),
        ("a.csv.gz", gzip.compress(b"text,label\nNA,01\n12,null\n", mtime=0)),
    ],
)
def test_files_of_other_kinds(library, write, name, content):
    read = hub(write(content, name))
    assert [(example.text, example.label) for example in read] == [("NA", "01"), ("12", "null")]


def test_numbers_in_csv_stay_as_they_are_written(library, write):
    read = hub(write("text,label,shop\n1e3,01,007\n2.50,02,\n", "a.csv"), group_fields=["shop"])
    found = [(example.text, example.label, example.fields["shop"]) for example in read]
    assert found == [("1e3", "01", "007"), ("2.50", "02", "")]


def test_arrow_file(library, tmp_path):
    library.Dataset.from_dict({"text": ["a"], "label": ["x"]}).save_to_disk(tmp_path / "saved")
    [path] = map(str, (tmp_path / "saved").glob("*.arrow"))
    assert hub(path) == [Example("a", label="x", line=1)]


def test_local_folder_with_splits_and_slices(library, parquet, tmp_path):
    texts = [f"t{number}" for number in range(10)]
    train = parquet({"text": texts, "label": ["x"] * 10}, "folder/train.parquet")
    test = parquet({"text": ["only"], "label": ["y"]}, "folder/test.parquet")
    (tmp_path / "folder" / ".hidden").mkdir()
    (tmp_path / "folder" / ".hidden" / "note").write_text("not data")
    dataset = HuggingFaceDataset(path=str(tmp_path / "folder"), train="train[20%:50%]", test="test")
    assert [(example.text, example.line) for example in dataset.read("train")] == [("t2", 1), ("t3", 2), ("t4", 3)]
    assert [example.text for example in dataset.read("test")] == ["only"]
    assert dataset.files("train") == (test, train)
    folder = str(tmp_path / "folder")
    error = fault(hub, "dev", path=folder)
    told(error, 0, "cannot be loaded", "Unknown split", "dataset.name and the split 'dev'")
    told(fault(hub, "train", path=folder, name="other"), 0, "'other' not found")
    told(fault(hub, "train[:0]", path=folder), 0, "corresponds to no data")


@pytest.mark.parametrize(
    ("columns", "line", "words"),
    [
        (
            {"review": ["a"], "label": ["x"]},
            0,
            "no column 'text'; its columns: review, label. Set dataset.text_field.",
        ),
        ({"text": ["a"], "lable": ["x"]}, 0, "Did you mean 'lable'? Set dataset.label_field."),
        ({"text": ["a", None], "label": ["x", "y"]}, 2, "the text in 'text' is null"),
        ({"text": [1, 2], "label": ["x", "y"]}, 1, "is 1, not a string"),
        ({"text": ["a", "b"], "label": ["x", None]}, 2, "the label in 'label' is null"),
        ({"text": ["a", "b"], "label": [1.0, float("nan")]}, 2, "the label in 'label' is NaN"),
        ({"text": ["a"], "label": [{"k": 1}]}, 1, "is {'k': 1}; write a string"),
    ],
)
def test_parquet_that_cannot_be_used(library, parquet, columns, line, words):
    path = parquet(columns)
    error = fault(hub, path)
    told(error, line, words)
    assert error.file == path


def test_files_that_cannot_be_loaded(library, parquet, write, tmp_path):
    import pyarrow

    empty = pyarrow.array([], pyarrow.string())
    told(fault(hub, parquet({"text": empty, "label": empty})), 0, "no rows")
    told(fault(hub, write("no parquet", "bad.parquet")), 0, "cannot be loaded", "magic bytes", "suffix")
    told(fault(hub, str(tmp_path / "gone.parquet")), 0, "there is no such file", "dataset.path")
    told(fault(hub, str(tmp_path)), 0, "this is a folder")


def test_hub_that_cannot_be_reached(library, monkeypatch):
    def unreachable(**arguments):
        raise ConnectionError("Couldn't reach the hub")

    monkeypatch.setattr(library, "load_dataset", unreachable)
    dataset = HuggingFaceDataset(path="someone/reviews", train="train")
    assert dataset.files("train") == ()
    error = fault(read_all, dataset)
    told(error, 0, "Couldn't reach the hub", "HF_HUB_OFFLINE=1", "spelling of dataset.path")
    assert error.file == "someone/reviews train"
    assert isinstance(error.__cause__, ConnectionError)


def test_split_without_rows(library, monkeypatch):
    nothing = library.Dataset.from_dict({"text": [], "label": []})
    monkeypatch.setattr(library, "load_dataset", lambda **arguments: nothing)
    told(fault(hub, "train", path="someone/reviews"), 0, "no rows")


def test_reason_behind_a_wrapped_error_is_told(library, monkeypatch):
    def fail(**arguments):
        raise RuntimeError("An error occurred") from ValueError("the column changed its type")

    monkeypatch.setattr(library, "load_dataset", fail)
    told(fault(hub, "train", path="someone/reviews"), 0, "An error occurred the column changed its type")


def test_what_the_library_is_asked_for(library, monkeypatch):
    asked = {}

    def load(path, name, revision, split, trust_remote_code=True):
        asked.update(path=path, name=name, revision=revision, split=split, trust=trust_remote_code)
        asked["bars"] = not library.utils.are_progress_bars_disabled()
        return library.Dataset.from_dict({"text": ["a"], "label": ["x"]})

    monkeypatch.setattr(library, "load_dataset", load)
    library.enable_progress_bars()
    dataset = HuggingFaceDataset(path="someone/reviews", name="plain", revision="1f2e", train="train[:10%]")
    assert not asked, "the constructor loaded something"
    assert [example.text for example in dataset.read("train")] == ["a"]
    expected = {"path": "someone/reviews", "name": "plain", "revision": "1f2e", "split": "train[:10%]"}
    assert asked == {**expected, "trust": False, "bars": False}
    assert not library.utils.are_progress_bars_disabled()


def test_progress_bars_come_back_after_a_failure_and_stay_off_where_they_were(library, monkeypatch):
    def interrupt(**arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(library, "load_dataset", interrupt)
    for switch, disabled in ((library.enable_progress_bars, False), (library.disable_progress_bars, True)):
        switch()
        try:
            with pytest.raises(KeyboardInterrupt):
                hub("train", path="someone/reviews")
            assert library.utils.are_progress_bars_disabled() is disabled
        finally:
            library.enable_progress_bars()


def test_nothing_is_printed(library, parquet, capfd):
    hub(parquet({"text": ["a"], "label": ["x"]}))
    assert capfd.readouterr() == ("", "")


def test_a_local_file_is_read_as_a_file_even_where_path_names_a_data_set(tmp_path):
    """As `rnntext evaluate RUN FILE` asks for it, of a recipe that was trained on a data set of the hub."""
    file = tmp_path / "more.csv"
    file.write_text("text,label\nfine,good\n", encoding="utf-8")
    dataset = HuggingFaceDataset(path="nobody/nothing", test=str(file))
    assert dataset.files("test") == (str(file),)
    assert [example.text for example in dataset.read("test")] == ["fine"]
