"""Tokens by the rules of NLTK's tokenizers, as slices of the untouched text."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from functools import partial
from typing import Any, Literal

from rnntext.tokenizers.alignment import PIECE_SIZE, Span, align, pieces

# Python takes these for white space, the patterns of some NLTK versions do not.
_ODD_BLANKS = dict.fromkeys(range(0x1C, 0x20), " ")
# ToktokTokenizer would turn a tab into an entity and takes only the plain space for a blank.
_TOKTOK_BLANKS = _ODD_BLANKS | {ord("\t"): " ", 0xA0: " "}

# Where a variant may alter a token; a text without such a place can be cut without looking for offsets.
_ALTERED = {
    "treebank": re.compile(r"\"|''|[\x1c-\x1f]"),
    "wordpunct": re.compile(r"[\x1c-\x1f]"),
    "toktok": re.compile(r"[&|\t\xa0\x1c-\x1f]|://"),
    "tweet": re.compile(r"&[^&;\s]+;|([\W_])\1{3}|[\x1c-\x1f]"),
}
# What TweetTokenizer alters: HTML entities, and marks repeated more than three times.
_TWEET_EDITS = re.compile(r"(?P<entity>&[^&;\s]+;)|(?P<mark>[^\w\s]|_)(?P=mark){3,}")
_BLANK_ENTITY = "\ufffc"  # stands for an entity that means a blank: a mark that joins no word


class NltkTokenizer:
    """Tokens as one of NLTK's tokenizers cuts them; nothing is downloaded.

    Choose it to follow work that used NLTK. Unlike there, a token is always a slice of the text: ``treebank``
    rewrites no quotation mark, and ``tweet`` keeps an entity such as ``&amp;`` as one token and drops none of
    ten exclamation marks. ``treebank`` and ``toktok`` expect one sentence a text: a full stop that does not end
    the text stays on its word. A text above 2,000 characters is cut in pieces, between words where possible.

    Args:
        variant: treebank (do n't, quotes apart), wordpunct (letters | marks), tweet (emoticons, hashtags), toktok.
    """

    contract = 1

    def __init__(self, *, variant: Literal["treebank", "wordpunct", "tweet", "toktok"] = "treebank") -> None:
        from nltk.tokenize import ToktokTokenizer, TreebankWordTokenizer, TweetTokenizer, WordPunctTokenizer

        self._variant = variant
        self._altered = _ALTERED[variant]
        tokenizers = {
            "treebank": TreebankWordTokenizer,
            "wordpunct": WordPunctTokenizer,
            "tweet": TweetTokenizer,
            "toktok": ToktokTokenizer,
        }
        self._nltk: Any = tokenizers[variant]()
        self._cut = self._nltk.PHONE_WORD_RE.findall if variant == "tweet" else self._nltk.tokenize

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(NltkTokenizer, variant=self._variant), ()  # some NLTK versions cannot be pickled

    def tokens(self, text: str) -> list[str]:
        """Return the tokens, each as it stands in the text."""
        if len(text) <= PIECE_SIZE and not self._altered.search(text):
            return list(self._cut(text))
        return [text[start:end] for start, end in self.spans(text)]

    def spans(self, text: str) -> list[Span]:
        """Return (start, end) of the same tokens."""
        find = getattr(self, f"_{self._variant}")
        return [
            (start + token_start, start + token_end)
            for start, end in pieces(text)
            for token_start, token_end in find(text[start:end])
        ]

    def _treebank(self, text: str) -> list[Span]:
        return align(text, self._nltk.tokenize(text), _treebank_originals)

    def _toktok(self, text: str) -> list[Span]:
        text = text.translate(_TOKTOK_BLANKS)
        return align(text, self._nltk.tokenize(text), _toktok_originals)

    def _wordpunct(self, text: str) -> list[Span]:
        return list(self._nltk.span_tokenize(text.translate(_ODD_BLANKS)))

    def _tweet(self, text: str) -> list[Span]:
        # NLTK's own pattern on the text as NLTK edits it, but with the places known: exact, no aligning.
        edited, origins = _edit_tweet(text.translate(_ODD_BLANKS))
        spans: list[Span] = []
        for match in self._nltk.PHONE_WORD_RE.finditer(edited):
            start, end = origins[match.start()], origins[match.end()]
            if text[start:end] == match[0] * (end - start):  # one mark, and those left out after it: a token each
                spans += ((i, i + 1) for i in range(start, end))
            else:
                spans.append((start, end))
        return spans


def _treebank_originals(token: str) -> Iterable[str]:
    return ("''", '"') if token in ("``", "''") else ()


def _toktok_originals(token: str) -> Iterable[str]:
    return (token.replace("&amp;", "&").replace("&#124;", "|"),) if "&" in token else ()


def _edit_tweet(text: str) -> tuple[str, list[int]]:
    """Return the text as TweetTokenizer edits it, and the place of each of its characters (and of its end)."""
    parts: list[str] = []
    origins: list[int] = []
    done = 0
    for edit in _TWEET_EDITS.finditer(text):
        new = _decoded(edit["entity"]) if edit["entity"] else edit["mark"] * 3
        if not new:
            continue
        parts += text[done : edit.start()], new
        origins += range(done, edit.start() + len(new))
        done = edit.end()
    parts.append(text[done:])
    origins += range(done, len(text) + 1)
    return "".join(parts), origins


def _decoded(entity: str) -> str:
    """Return the one character that an entity stands for, "" where it is no entity."""
    character = html.unescape(entity)
    if len(character) != 1:
        return ""
    return _BLANK_ENTITY if character.isspace() else character
