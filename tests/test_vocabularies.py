import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnntext import registry
from rnntext.contracts import Vocabulary
from rnntext.errors import DataError
from rnntext.options import options_of, validate
from rnntext.vocabularies.frequency import FrequencyVocabulary
from rnntext.vocabularies.normalization import normalizer
from rnntext.vocabularies.word_list import WordListVocabulary

ANY_TOKEN = st.text(st.characters(exclude_categories=()), min_size=1)


def fitted(counts, **options):
    vocabulary = FrequencyVocabulary(**options)
    vocabulary.fit(counts)
    return vocabulary


def tokens_of(vocabulary):
    return [vocabulary.token(i) for i in range(len(vocabulary))]


class TestNormalizer:
    @given(token=ANY_TOKEN, lowercase=st.booleans(), form=st.sampled_from(["none", "NFC", "NFKC"]))
    def test_twice_is_as_once(self, token, lowercase, form):
        normalize = normalizer(lowercase, form)
        assert normalize(normalize(token)) == normalize(token)

    def test_twice_is_as_once_for_every_character(self):
        normalize = normalizer(True, "NFKC")
        for code in range(0x110000):
            once = normalize(chr(code))
            if once != chr(code):
                assert normalize(once) == once

    @pytest.mark.parametrize(
        ("token", "lowercase", "form", "normal"),
        [
            ("CafE\u0301", True, "NFC", "café"),
            ("CafE\u0301", False, "NFC", "CafÉ"),
            ("CafE\u0301", True, "none", "cafe\u0301"),
            ("ﬁne", True, "NFC", "ﬁne"),
            ("ﬁne Ａ", True, "NFKC", "fine a"),
            ("\u03a5\u0308\u0301", True, "NFC", "\u03b0"),  # small upsilon has the composed form, the capital not
            ("Don't", True, "NFC", "don't"),
            ("Don't", False, "NFKC", "Don't"),
        ],
    )
    def test_forms(self, token, lowercase, form, normal):
        assert normalizer(lowercase, form)(token) == normal


class TestFrequency:
    def test_order_is_by_count_then_code_point(self):
        counts = {"b": 2, "é": 2, "a": 2, "Z": 9, "z": 1, "c": 3}
        assert tokens_of(fitted(counts)) == ["<pad>", "<unk>", "z", "c", "a", "b", "é"]
        assert tokens_of(fitted(dict(reversed(counts.items())))) == tokens_of(fitted(counts))

    def test_counts_of_one_normal_form_are_summed_before_the_limit(self):
        counts = {"The": 1, "the": 1, "cafe\u0301": 1, "CAFÉ": 2, "rare": 1}
        assert tokens_of(fitted(counts, min_count=2))[2:] == ["café", "the"]
        assert tokens_of(fitted(counts, min_count=2, lowercase=False))[2:] == ["CAFÉ"]

    def test_max_size_counts_the_special_tokens(self):
        assert tokens_of(fitted({"a": 3, "b": 2, "c": 1}, max_size=4)) == ["<pad>", "<unk>", "a", "b"]

    def test_encode(self):
        vocabulary = fitted({"good": 2, "bad": 1})
        assert vocabulary.encode(["Good", "odd", "bad"]) == [2, 1, 3]
        assert vocabulary.normalize("GOOD") == "good"

    def test_special_names_in_a_text_are_unknown_tokens(self):
        vocabulary = fitted({"<pad>": 9, "<PAD>": 9, "<unk>": 9, "a": 1})
        assert tokens_of(vocabulary) == ["<pad>", "<unk>", "a"]
        assert vocabulary.encode(["<pad>", "<PAD>", "<unk>"]) == [1, 1, 1]

    def test_a_token_that_is_no_utf_8_is_unknown(self):
        vocabulary = fitted({"\ud83d": 5, "a": 1})
        assert vocabulary.encode(["\ud83d", "a"]) == [1, 2]
        assert json.dumps(vocabulary.to_json(), ensure_ascii=False).encode()

    def test_nothing_left_is_an_error(self):
        with pytest.raises(DataError, match=r"occurs 5 times; lower vocabulary\.min_count"):
            fitted({"a": 4}, min_count=5)
        assert len(fitted({})) == 2

    def test_fitting_again_starts_afresh(self):
        vocabulary = fitted({"a": 1})
        vocabulary.fit({"b": 1})
        assert vocabulary.encode(["a", "b"]) == [1, 2]

    @given(counts=st.dictionaries(ANY_TOKEN, st.integers(1, 3)), lowercase=st.booleans())
    def test_round_trip(self, counts, lowercase):
        vocabulary = fitted({"a": 1, **counts}, lowercase=lowercase)
        other = FrequencyVocabulary(lowercase=lowercase)
        other.from_json(json.loads(json.dumps(vocabulary.to_json())))
        assert tokens_of(other) == tokens_of(vocabulary)
        assert other.encode(counts) == vocabulary.encode(counts)
        for token_id, token in enumerate(tokens_of(vocabulary)[2:], 2):
            assert vocabulary.encode([token]) == [token_id]

    @pytest.mark.parametrize(("key", "value"), [("min_count", 0), ("max_size", 2), ("unicode_form", "NFD")])
    def test_options_out_of_range(self, key, value):
        _, faults = validate(options_of(FrequencyVocabulary, "vocabularies"), {key: value}, {})
        assert [fault.key for fault in faults] == [key]


class TestWordList:
    @pytest.fixture
    def read(self, tmp_path):
        def read(data, **options):
            path = tmp_path / "words.txt"
            path.write_bytes(data)
            vocabulary = WordListVocabulary(path=str(path), **options)
            vocabulary.fit({"other": 3})
            return vocabulary

        return read

    @pytest.mark.parametrize(
        "data", [b"good\nbad\n", b"good\r\nbad", b"\xef\xbb\xbfgood\nbad\n\n \r\n", b"Good\nbad\n"]
    )
    def test_order_of_the_file(self, read, data):
        vocabulary = read(data)
        assert tokens_of(vocabulary) == ["<pad>", "<unk>", "good", "bad"]
        assert vocabulary.encode(["BAD", "other", "<pad>"]) == [3, 1, 1]

    def test_only_a_line_feed_ends_a_line(self, read):
        assert tokens_of(read("a\u2028b\nc\x1d!\n".encode()))[2:] == ["a\u2028b", "c\x1d!"]

    def test_a_trained_vocabulary_needs_no_file(self, read):
        stored = json.loads(json.dumps(read("né\nEi\n".encode()).to_json()))
        other = WordListVocabulary(path="nowhere.txt")
        other.from_json(stored)
        assert other.encode(["NE\u0301", "ei", "x"]) == [2, 3, 1]

    @pytest.mark.parametrize(
        ("data", "line", "reason"),
        [
            (b"a\nb\nA\n", 3, "'A' is the same token as line 1"),
            (b"a\n\nb\n", 2, "a blank line"),
            (b"a\n \t\nb\n", 2, "a blank line"),
            (b"the\t100\n", 1, "not one token"),
            (b"a\nb \nc", 2, "not one token"),
            (b"a\rb\rc", 1, "not one token"),
            (b"a\n<Unk>\n", 2, "'<Unk>' has its id without being listed"),
            (b"a\nb\nna\xefve\n", 3, "0xef at byte offset 6 of the file. Save the file as UTF-8"),
            (b"\xff\xfea\x00\n\x00", 1, "0xff at byte offset 0"),
            (b"\xef\xbb\xbf\n\n", 0, "holds no token"),
            (b"", 0, "holds no token"),
        ],
    )
    def test_faults_name_file_and_line(self, read, data, line, reason):
        with pytest.raises(DataError) as caught:
            read(data)
        assert caught.value.line == line
        assert caught.value.file.endswith("words.txt")
        assert reason in caught.value.message

    def test_case_can_tell_tokens_apart(self, read):
        assert tokens_of(read(b"a\nA\n", lowercase=False))[2:] == ["a", "A"]

    def test_missing_file(self):
        with pytest.raises(DataError, match=r"nowhere\.txt: cannot be read: .*vocabulary\.path"):
            WordListVocabulary(path="nowhere.txt").fit({})


BOTH = [FrequencyVocabulary(), WordListVocabulary(path="nowhere.txt")]


@pytest.mark.parametrize("vocabulary", BOTH)
class TestBoth:
    def test_contract(self, vocabulary):
        assert isinstance(vocabulary, Vocabulary)
        assert len(vocabulary) == 2
        assert pickle.loads(pickle.dumps(vocabulary)).encode(["a"]) == [1]

    @pytest.mark.parametrize("token_id", [-1, 2])
    def test_no_such_id(self, vocabulary, token_id):
        with pytest.raises(IndexError):
            vocabulary.token(token_id)

    @pytest.mark.parametrize(
        ("values", "reason"),
        [
            ({}, "no list of strings"),
            ([], "no list of strings"),
            ({"tokens": "abc"}, "no list of strings"),
            ({"tokens": ["<pad>", "<unk>", 3]}, "no list of strings"),
            ({"tokens": []}, "do not begin with <pad> and <unk>"),
            ({"tokens": ["<unk>", "<pad>"]}, "do not begin with <pad> and <unk>"),
            ({"tokens": ["<pad>", "<unk>", "a", "b", "a"]}, "the token 'a' has two ids"),
            ({"tokens": ["<pad>", "<unk>", "<pad>"]}, "the token '<pad>' has two ids"),
        ],
    )
    def test_damaged_values(self, vocabulary, values, reason):
        with pytest.raises(DataError, match=reason):
            vocabulary.from_json(values)
        assert len(vocabulary) == 2


@pytest.mark.parametrize("name", registry.BUILT_INS["vocabularies"])
def test_each_option_is_explained(name):
    for option in options_of(registry.get("vocabularies", name), "vocabularies").values():
        assert option.help
