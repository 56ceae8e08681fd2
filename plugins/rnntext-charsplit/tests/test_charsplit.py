import pytest

from rnntext_charsplit.charsplit import CharsplitTokenizer


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("iPhone15的价格是5999元。", "iPhone 15 的 价 格 是 5999 元 。"),
        ("2L от Siemens", "2 L от Siemens"),
        ("cafe\u0301, naïve_x", "cafe\u0301 , naïve _ x"),
        ("東京タワーです", "東 京 タワー です"),
        ("ที่นี่ 5G", "ที่นี่ 5 G"),
        ("\u0301x", "\u0301 x"),
        ("wait...", "wait . . ."),
    ],
)
def test_a_token_ends_where_the_script_changes(text, tokens):
    assert CharsplitTokenizer().tokens(text) == tokens.split()


def test_scripts_to_be_read_character_by_character_can_be_chosen():
    assert CharsplitTokenizer(one_by_one=["KATAKANA"]).tokens("東京タワー") == ["東京", "タ", "ワ", "ー"]
    assert CharsplitTokenizer(one_by_one=[]).tokens("東京タワー") == ["東京", "タワー"]
