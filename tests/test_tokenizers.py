import functools
import pickle
import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnntext import registry
from rnntext.contracts import Tokenizer
from rnntext.errors import UsageError
from rnntext.options import options_of
from rnntext.tokenizers import spacy as spacy_module
from rnntext.tokenizers.alignment import align, pieces

KINDS = [
    ("regex", ()),
    ("regex", (("pattern", r"(\w+)|(\S)"),)),
    ("whitespace", ()),
    ("character", ()),
    ("spacy", ()),
    ("spacy", (("language", "es"),)),  # has rules for words with a blank
    ("spacy", (("language", "zh"),)),  # has a tokenizer of its own
    *(("nltk", (("variant", variant),)) for variant in ("treebank", "wordpunct", "tweet", "toktok")),
]


@functools.cache
def build(name, options=()):
    return registry.get("tokenizers", name)(**dict(options))


@pytest.fixture(
    scope="module", params=KINDS, ids=lambda kind: "-".join([kind[0], *(str(value) for _, value in kind[1])])
)
def tokenizer(request):
    return build(*request.param)


FRAGMENTS = [
    *("don't", "Don’t", "cannot", "'tis", "U.S.", "e.g.", "EE. UU.", "end.", "...", ".....", "!!!!!!", "____", "--"),
    *(
        "``",
        "''",
        '"',
        "'",
        "“so”",
        "(",
        ")]",
        "<b>",
        "a|b",
        "&",
        "& ",
        "&amp;",
        "AT&amp;T",
        "&nbsp;",
        "&lt;3",
        "&#38;#9;",
    ),
    *("&#124;", "&bogus;", "&#9;", "http://a/b/", "://x/", "x@y.example", "@me", "#tag", ":-)", "<3", "555 123 4567"),
    *(
        "\x00",
        "\u200b",
        "\ufeff",
        "👩‍👩‍👧",
        "👍🏽",
        "🇳🇴",
        "שלום",
        "مرحبا",
        "e\u0301",
        "中文",
        "\ud83d",
        "\udc00",
        "\ufffc",
    ),
    *(" ", "  ", "\t", "\n", "\r\n", "\u00a0", "\u2028", "\x1c", "\x1f", "\x85", "\u3000"),
]
ANY_TEXT = st.text(st.characters(exclude_categories=()))
TEXTS = st.lists(st.sampled_from(FRAGMENTS) | ANY_TEXT, max_size=12).map("".join)
SAMPLES = [
    *("", " ", " \t\r\n\u00a0\u3000", "\x00", "a\x00b", "\u200b", "x\u200by", "👩‍👩‍👧", "\ud83d", "a\udc00 b"),
    *("שלום עולם", "one\r\ntwo", '"', "''", "``", "&amp;", "|", "!!!!!!!!", "a" * 5_000, "a." * 3_000),
]


def check_slices(tokenizer, text):
    tokens, spans = tokenizer.tokens(text), tokenizer.spans(text)
    assert tokens == [text[start:end] for start, end in spans]
    edges = [edge for span in spans for edge in span]
    assert edges == sorted(edges), "in order, without overlap"
    assert all(token.strip() for token in tokens), "no token is empty or only white space"
    covered = {place for start, end in spans for place in range(start, end)}
    assert [text[i] for i in range(len(text)) if i not in covered and not text[i].isspace()] == []


@settings(deadline=None, max_examples=150)
@given(text=TEXTS)
def test_every_character_but_white_space_is_in_one_token(tokenizer, text):
    check_slices(tokenizer, text)


@pytest.mark.parametrize("text", SAMPLES, ids=lambda text: ascii(text[:12]))
def test_odd_texts(tokenizer, text):
    check_slices(tokenizer, text)
    assert bool(tokenizer.tokens(text)) == bool(text.strip())


def test_pieces_do_not_lose_their_place(tokenizer):
    check_slices(tokenizer, 'She said: "no & never!!!!!" \x1c to them. ' * 200)


@pytest.mark.parametrize("unit", ["x", "some words, in a row. "])
def test_time_grows_with_the_length_only(tokenizer, unit):
    text = (unit * 300_000)[:300_000]
    before = time.perf_counter()
    tokens = tokenizer.tokens(text)
    assert time.perf_counter() - before < 8
    assert "".join("".join(tokens).split()) == "".join(text.split())


def test_contract_and_pickle(tokenizer):
    text = "The film wasn't bad, at all!"
    assert isinstance(tokenizer, Tokenizer)
    tokenizer.tokens(text)
    copy = pickle.loads(pickle.dumps(tokenizer))
    assert type(copy) is type(tokenizer)
    assert copy.tokens(text) == tokenizer.tokens(text)
    assert copy.spans(text) == tokenizer.spans(text)


@pytest.mark.parametrize("name", registry.BUILT_INS["tokenizers"])
def test_each_option_is_explained(name):
    for option in options_of(registry.get("tokenizers", name), "tokenizers").values():
        assert option.help


class TestRegex:
    @pytest.mark.parametrize(
        ("text", "tokens"),
        [
            ("I don't like it.", ["I", "don't", "like", "it", "."]),
            ("rock’n’roll!?", ["rock’n’roll", "!", "?"]),
            ("'so' he's", ["'", "so", "'", "he's"]),
            ("well-known $5", ["well", "-", "known", "$", "5"]),
        ],
    )
    def test_default_pattern(self, text, tokens):
        assert build("regex").tokens(text) == tokens

    def test_groups_change_nothing(self):
        assert build("regex", (("pattern", r"(a)(b)?"),)).tokens("ab a b") == ["ab", "a"]

    @given(text=ANY_TEXT)
    def test_empty_matches_are_ignored(self, text):
        tokenizer = build("regex", (("pattern", r"\w*"),))
        assert tokenizer.tokens(text) == re.findall(r"\w+", text)
        assert [text[start:end] for start, end in tokenizer.spans(text)] == tokenizer.tokens(text)

    @pytest.mark.parametrize("pattern", [r"(?=a)|b", r"\b|a+", r"(a)?(?(1)b|)", r"(?<=a)b?", r"a|(b*)\1"])
    @given(text=st.text("ab ", max_size=8))
    def test_no_pattern_gives_an_empty_token(self, pattern, text):
        matches = [match[0] for match in re.finditer(pattern, text)]
        assert build("regex", (("pattern", pattern),)).tokens(text) == [match for match in matches if match]

    @pytest.mark.parametrize("pattern", [r"\w+", r"\w*", "(a)|b", r"(?i)x|\S"])
    def test_good_pattern(self, pattern):
        assert list(registry.get("tokenizers", "regex").check_options({"pattern": pattern})) == []

    @pytest.mark.parametrize(
        ("pattern", "reason"),
        [
            ("(a", "not a regular expression: missing ), unterminated subpattern at character 1"),
            ("a{99999999999999999999}", "too large"),
            ("", "only the empty string"),
            (r"\b", "only the empty string"),
            ("(?=a)|(b){0}", "only the empty string"),
        ],
    )
    def test_bad_pattern(self, pattern, reason):
        (fault,) = registry.get("tokenizers", "regex").check_options({"pattern": pattern})
        assert fault[0] == "pattern"
        assert reason in fault[1]


def test_whitespace():
    assert build("whitespace").tokens("I don't\tlike it.\r\nNo !") == ["I", "don't", "like", "it.", "No", "!"]
    assert build("whitespace").spans(" ab\u3000c") == [(1, 3), (4, 5)]


class TestCharacter:
    def test_drops_or_keeps_white_space(self):
        assert build("character").tokens("a b\r\n") == ["a", "b"]
        assert build("character").spans("a b\r\n") == [(0, 1), (2, 3)]
        assert build("character", (("keep_whitespace", True),)).tokens("a b\r\n") == ["a", " ", "b", "\r", "\n"]

    @given(text=ANY_TEXT)
    def test_keeps_all(self, text):
        tokenizer = build("character", (("keep_whitespace", True),))
        assert "".join(tokenizer.tokens(text)) == text
        assert tokenizer.spans(text) == [(i, i + 1) for i in range(len(text))]


class TestNltk:
    @pytest.mark.parametrize(
        ("variant", "text", "tokens"),
        [
            ("treebank", 'He said "I can\'t."', ["He", "said", '"', "I", "ca", "n't", ".", '"']),
            ("treebank", "''so'' ``he``", ["''", "so", "''", "``", "he", "``"]),
            ("treebank", "I cannot.", ["I", "can", "not", "."]),
            ("wordpunct", "can't!?", ["can", "'", "t", "!?"]),
            ("tweet", "@me loved it :-) #wow", ["@me", "loved", "it", ":-)", "#wow"]),
            ("tweet", "no!!!!! ok.....", ["no", "!", "!", "!", "!", "!", "ok", "....."]),
            ("tweet", "AT&amp;T &lt;3 &amp; &", ["AT", "&amp;", "T", "&lt;3", "&amp;", "&"]),
            ("tweet", "caf&eacute; a&nbsp;b don&apos;t", ["caf&eacute;", "a", "&nbsp;", "b", "don&apos;t"]),
            ("tweet", "&amp;lt; &bogus;", ["&amp;", "lt", ";", "&", "bogus", ";"]),
            ("toktok", "this|that\tQ& A.", ["this", "|", "that", "Q&", "A", "."]),
            ("toktok", "a &amp; b", ["a", "&amp", ";", "b"]),
        ],
    )
    def test_tokens_are_slices_of_the_text(self, variant, text, tokens):
        assert build("nltk", (("variant", variant),)).tokens(text) == tokens

    @given(words=st.lists(st.sampled_from(["don't", "I'll", "ca,", "U.S.", "(so)", "gonna", "x:-)", "1,5", "end."])))
    def test_agrees_with_nltk_where_it_alters_nothing(self, words):
        import nltk.tokenize

        text = " ".join(words)
        for variant, name in [("treebank", "TreebankWord"), ("toktok", "Toktok"), ("tweet", "Tweet")]:
            raw = getattr(nltk.tokenize, f"{name}Tokenizer")().tokenize(text)
            tokenizer = build("nltk", (("variant", variant),))
            assert tokenizer.tokens(text) == raw
            assert [text[start:end] for start, end in tokenizer.spans(text)] == raw

    @pytest.mark.parametrize("variant", ["treebank", "wordpunct", "tweet", "toktok"])
    def test_a_long_text_is_cut_as_its_words_are(self, variant):
        tokenizer = build("nltk", (("variant", variant),))
        sentence = "Mr. Lee (a critic) didn't like it... much, at 5.50 a seat"
        assert tokenizer.tokens(" and ".join([sentence] * 99)) == [
            token for i in range(99) for token in [*(["and"] if i else []), *tokenizer.tokens(sentence)]
        ]


class TestSpacy:
    def test_rules_of_the_language(self):
        assert build("spacy").tokens("I don't :) U.S. (e.g.)\n5pm") == [
            *("I", "do", "n't", ":)", "U.S.", "(", "e.g.", ")", "5", "pm")
        ]
        assert build("spacy", (("language", "fr"),)).tokens("l'eau qu'il") == ["l'", "eau", "qu'", "il"]

    @settings(deadline=None)
    @given(
        words=st.lists(
            st.sampled_from([*"$%!?-/", "a.m.", "can't", "(so", "x)", "www.a.example", "\n", "EE. UU.", "né"])
        )
    )
    def test_agrees_with_spacy(self, words):
        text = " ".join(words)
        for language in ("en", "es"):
            doc = _raw(language)(text)
            raw = [(token.idx, token.idx + len(token)) for token in doc if not token.is_space]
            assert build("spacy", (("language", language),)).spans(text) == raw

    def test_keeps_words_with_a_blank_in_them(self):
        text = "(EE. UU.) y EE. UU."
        assert build("spacy", (("language", "es"),)).tokens(text) == ["(", "EE. UU.", ")", "y", "EE. UU."]

    def test_long_runs_are_cut(self):
        for language in ("en", "es"):
            tokens = build("spacy", (("language", language),)).tokens("no " + "x" * 600)
            assert [len(token) for token in tokens] == [2, 256, 256, 88]

    def test_strings_do_not_pile_up(self, monkeypatch):
        monkeypatch.setattr(spacy_module, "_NEW_STRINGS", 300)
        monkeypatch.setattr(spacy_module, "_KNOWN_RUNS", 100)
        for language in ("en", "es", "zh"):
            tokenizer = spacy_module.SpacyTokenizer(language=language)
            at_first = len(tokenizer._tokenizer.vocab.strings)
            for i in range(2_000):
                word = "".join(chr(0x4E00 + digit * 100 + int(c)) for digit, c in enumerate(str(i)))
                assert "".join(tokenizer.tokens(f"{word}don't{i}")) == f"{word}don't{i}"
            assert len(tokenizer._tokenizer.vocab.strings) < at_first + 400
            assert len(tokenizer._known) <= 100

    @pytest.mark.parametrize(
        ("language", "reason"),
        [
            ("english", "no language 'english'"),
            ("EN", "Did you mean 'en'?"),
            ("", "no language ''"),
            ("lex_attrs", "no lang"),
        ],
    )
    def test_unknown_language(self, language, reason):
        (fault,) = spacy_module.SpacyTokenizer.check_options({"language": language})
        assert fault[0] == "language"
        assert reason in fault[1]
        with pytest.raises(UsageError, match=re.escape(reason)):
            spacy_module.SpacyTokenizer(language=language)

    def test_missing_package_is_named(self, monkeypatch):
        import spacy

        def blank(language):
            raise ImportError("Japanese support requires Words.\nInstall with `pip install words`.")

        monkeypatch.setattr(spacy, "blank", blank)
        (fault,) = spacy_module.SpacyTokenizer.check_options({"language": "ja"})
        assert fault[1].endswith("'ja': Japanese support requires Words. Install with `pip install words`.")

    def test_known_language(self):
        assert list(spacy_module.SpacyTokenizer.check_options({"language": "de"})) == []


@functools.cache
def _raw(language):
    import spacy

    return spacy.blank(language).tokenizer


class TestAlign:
    def slices(self, text, tokens, **originals):
        return [text[slice(*span)] for span in align(text, tokens, lambda token: originals.get(token, ()))]

    def test_altered_tokens(self):
        assert self.slices("a 'b", ["a", "X", "b"], X=("?", "'")) == ["a", "'", "b"]

    def test_what_was_left_out_becomes_tokens(self):
        assert self.slices("a ?! !? b c", ["b"]) == ["a", "?!", "!?", "b", "c"]

    def test_tokens_that_are_nowhere_are_left_out(self):
        assert self.slices("ab c", ["nowhere", "ab", "", "else", "c", "more"]) == ["ab", "c"]

    @given(text=ANY_TEXT, tokens=st.lists(ANY_TEXT | st.sampled_from(["a", " ", "``"])))
    def test_covers_the_text_whatever_the_tokens(self, text, tokens):
        spans = align(text, tokens, lambda token: (token[::-1],))
        edges = [edge for span in spans for edge in span]
        assert edges == sorted(edges)
        covered = {place for start, end in spans for place in range(start, end)}
        assert all(i in covered or text[i].isspace() for i in range(len(text)))


class TestPieces:
    @given(text=st.text("ab1. \n", max_size=200), size=st.integers(2, 30))
    def test_make_up_the_text(self, text, size):
        spans = list(pieces(text, size))
        assert "".join(text[start:end] for start, end in spans) == text
        assert all(0 < end - start <= size for start, end in spans)

    def test_cut_between_words_where_possible(self):
        assert list(pieces("in 4 5 bb cc", 11)) == [(0, 10), (10, 12)], "not the nearer place after 5"
        assert list(pieces("12 34 56 78", 7)) == [(0, 6), (6, 11)], "at white space"
        assert list(pieces("x" * 9, 4)) == [(0, 4), (4, 8), (8, 9)], "anywhere"


@pytest.mark.parametrize("pattern", [None, r"(\w+)|(\S)", r"\w*"])
@given(text=ANY_TEXT, repeats=st.integers(1, 30), count=st.integers(1, 6))
def test_the_first_tokens_are_those_of_the_whole_text(pattern, text, repeats, count):
    regex = build("regex", (("pattern", pattern),) if pattern else ())
    long = " ".join([text] * repeats)  # past the length from which the rest of the text is not searched
    assert regex.first(long, count) == regex.tokens(long)[:count]


def test_the_rest_of_a_long_text_is_not_searched(monkeypatch):
    regex = build("regex")
    monkeypatch.setattr(type(regex), "tokens", lambda self, text: pytest.fail("read to the end"))
    assert regex.first("lamp " * 100, 3) == ["lamp"] * 3
