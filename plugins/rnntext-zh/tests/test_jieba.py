import pickle
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnntext.errors import UsageError
from rnntext_zh.jieba import JiebaTokenizer

SHARED = JiebaTokenizer()
PLAIN = JiebaTokenizer(hmm=False)
PIECES = [
    *("今天下雨了", "她在图书馆看书", "，", "。", "“好”", "３月", "5.5元"),
    *("iPhone15", "e\u0301", "don't", "C++", "____"),
    *("😀", "👨‍👩‍👧", "🇨🇳", "𠀀", "\ufeff", "\u200b", "\x00", "\ud83d", "\udc00", "한국어", "日本語の"),
    *(" ", "\u3000", "\t", "\r\n", "\n\n", "\xa0", "\x1c", "\x85", "\u2028"),
]
TEXTS = st.one_of(st.text(max_size=60), st.lists(st.sampled_from(PIECES), max_size=30).map("".join))


@settings(deadline=None)  # the first text waits for the dictionary
@given(text=TEXTS)
def test_spans_are_the_tokens_and_leave_out_white_space_alone(text):
    for tokenizer in (SHARED, PLAIN):
        spans = tokenizer.spans(text)
        assert [text[start:end] for start, end in spans] == tokenizer.tokens(text)
        assert all(start < end for start, end in spans)
        ends = [0, *(end for _, end in spans)]
        starts = [*(start for start, _ in spans), len(text)]
        between = [text[end:start] for end, start in zip(ends, starts, strict=True)]
        assert all(end <= start for end, start in zip(ends, starts, strict=True))
        assert not "".join(between).strip()


@settings(deadline=None)
@given(text=TEXTS)
def test_no_token_holds_white_space(text):
    assert not any(any(map(str.isspace, token)) for token in SHARED.tokens(text))


def test_words_not_characters():
    assert SHARED.tokens("她在图书馆，花了 3.5 元。") == ["她", "在", "图书馆", "，", "花", "了", "3.5", "元", "。"]


def test_hmm_makes_words_that_no_dictionary_has():
    text = "林雨晗在唱歌"
    assert "林雨晗" in SHARED.tokens(text)
    assert "林雨晗" not in PLAIN.tokens(text)


@pytest.mark.parametrize("text", ["", " ", "\u3000\n\t", "\x1c\x85\u2028"])
def test_blank_texts_have_no_tokens(text):
    assert SHARED.tokens(text) == SHARED.spans(text) == []


def test_offsets_count_characters_not_bytes():
    assert SHARED.spans("😀 𠀀 下雨") == [(0, 1), (2, 3), (4, 6)]


@pytest.fixture
def dictionary(tmp_path):
    path = tmp_path / "words.txt"
    path.write_text("\ufeff云上小铺子\n\n灰喵灰 9 nz\n", encoding="utf-8")
    return str(path)


def test_words_of_ones_own(dictionary):
    text = "云上小铺子里有灰喵灰"
    tokenizer = JiebaTokenizer(user_dictionary=dictionary)
    assert {"云上小铺子", "灰喵灰"} <= set(tokenizer.tokens(text))
    assert not {"云上小铺子", "灰喵灰"} & set(JiebaTokenizer().tokens(text))  # they belong to one tokenizer alone


@pytest.mark.parametrize("used", [False, True])
def test_pickled_alike(dictionary, used):
    tokenizer = JiebaTokenizer(hmm=False, user_dictionary=dictionary)
    text = "云上小铺子里有灰喵灰和欧阳霏霏"
    if used:
        tokenizer.tokens(text)
    assert pickle.loads(pickle.dumps(tokenizer)).spans(text) == tokenizer.spans(text)


@pytest.mark.parametrize(
    ("content", "reason"), [("甲 乙 丙 丁".encode(), "words.txt:1: .*云计算 5 n"), ("好".encode("gbk"), "not UTF-8")]
)
def test_a_dictionary_at_fault_is_told(tmp_path, content, reason):
    path = tmp_path / "words.txt"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=reason):
        JiebaTokenizer(user_dictionary=str(path))
    [(key, message)] = JiebaTokenizer.check_options({"hmm": True, "user_dictionary": str(path)})
    assert key == "user_dictionary"
    assert "words.txt" in message


def test_a_dictionary_that_is_gone_is_told(tmp_path):
    with pytest.raises(UsageError, match=r"gone\.txt cannot be read"):
        JiebaTokenizer(user_dictionary=str(tmp_path / "gone.txt"))


def test_nothing_is_said_written_or_loaded_early(tmp_path):
    program = (
        "import sys; from rnntext_zh.jieba import JiebaTokenizer; tokenizer = JiebaTokenizer()\n"
        "assert 'rjieba' not in sys.modules\n"
        "assert tokenizer.tokens('下雨了') == ['下雨', '了']"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        env={"PYTHONPATH": ":".join(sys.path), "TMPDIR": str(tmp_path), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not list(tmp_path.iterdir())
