"""Tokens by spaCy's rules for a language."""

from __future__ import annotations

import pkgutil
import re
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from rnntext.errors import UsageError, suggest
from rnntext.tokenizers.alignment import Span, pieces

_RUNS = re.compile(r"\S+")
_SURROGATES = re.compile("[\ud800-\udfff]")  # spaCy cannot encode them

_LONGEST_RUN = 256  # spaCy takes time by the square of the length: 8,000 exclamation marks take 8 seconds
_KNOWN_RUNS = 50_000  # about 20 MB
_LONGEST_KNOWN_RUN = 40
_NEW_STRINGS = 50_000  # about 50 MB


class SpacyTokenizer:
    """Tokens as spaCy's rules for a language cut them: no model, no download, no limit on a text's length.

    Choose it for text of one language with its abbreviations, clitics (do n't) and emoticons. A run of more than
    256 characters without a blank is cut there. Some languages need a package more, which ``check`` names.

    Args:
        language: spaCy's code of the language, such as en, de, fr; xx for rules of no one language.

    Raises:
        UsageError: spaCy has no such language, or lacks a package for it.
    """

    contract = 1

    def __init__(self, *, language: str = "en") -> None:
        self._language = language
        # spaCy never forgets a string. Its memory zones would make it, but they also switch its cache off, which
        # costs three quarters of the speed; so a fresh tokenizer takes over once enough strings have come in.
        self._renew()
        self._known: dict[str, tuple[str, ...]] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(SpacyTokenizer, language=self._language), ()

    @classmethod
    def check_options(cls, options: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """Refuse a language that spaCy does not have, or has no packages for."""
        try:
            _blank_tokenizer(options["language"])
        except UsageError as error:
            yield "language", str(error)

    def tokens(self, text: str) -> list[str]:
        """Return the tokens, without those that are only white space."""
        if not self._is_by_run(text):
            return [text[start:end] for start, end in self.spans(text)]
        known = self._known.get
        found: list[str] = []
        for run in text.split():
            found += known(run) or self._cut(run)
        return found

    def spans(self, text: str) -> list[Span]:
        """Return (start, end) of the same tokens."""
        if not self._is_by_run(text):
            return [
                (start + token_start, start + token_end)
                for start, end in pieces(text)
                for token_start, token_end in self._ask(text[start:end])
            ]
        spans: list[Span] = []
        for run in _RUNS.finditer(text):
            end = run.start()
            for token in self._known.get(run[0]) or self._cut(run[0]):
                start, end = end, end + len(token)
                spans.append((start, end))
        return spans

    def _is_by_run(self, text: str) -> bool:
        """Whether each run between blanks can be cut on its own: its tokens are then kept for the next time."""
        if self._has_rules_with_blanks:
            return max(map(len, text.split()), default=0) > _LONGEST_RUN
        return self._has_rules

    def _cut(self, run: str) -> tuple[str, ...]:
        """Return the tokens of a run of characters without a blank, which they make up."""
        tokens = tuple(
            run[offset + start : offset + end]
            for offset in range(0, len(run), _LONGEST_RUN)
            for start, end in self._ask(run[offset : offset + _LONGEST_RUN])
        )
        if len(run) <= _LONGEST_KNOWN_RUN:
            if len(self._known) >= _KNOWN_RUNS:
                self._known.clear()
            self._known[run] = tokens
        return tokens

    def _ask(self, text: str) -> list[Span]:
        if len(self._tokenizer.vocab.strings) > self._renew_above:
            self._renew()
        doc = self._tokenizer(_SURROGATES.sub("\ufffd", text))
        return [(token.idx, token.idx + len(token)) for token in doc if not token.is_space]

    def _renew(self) -> None:
        from spacy.tokenizer import Tokenizer

        self._tokenizer = _blank_tokenizer(self._language)
        self._renew_above = len(self._tokenizer.vocab.strings) + _NEW_STRINGS
        # Some languages bring a tokenizer of another kind (Chinese, Japanese), which may read across blanks;
        # some have rules for words with a blank in them, such as the Spanish abbreviation "EE. UU.".
        self._has_rules = type(self._tokenizer) is Tokenizer
        self._has_rules_with_blanks = self._has_rules and any(
            len(rule.split()) > 1 or rule.strip() not in ("", rule) for rule in self._tokenizer.rules
        )


def _blank_tokenizer(language: str) -> Any:
    import spacy.lang

    try:
        return spacy.blank(language).tokenizer
    except (ImportError, AttributeError, ValueError) as error:
        known = [module.name for module in pkgutil.iter_modules(spacy.lang.__path__) if module.ispkg]
        if language in known:
            reason = " ".join(str(error).split())
            raise UsageError(f"spaCy lacks a package for the language {language!r}: {reason}") from error
        raise UsageError(
            f"spaCy has no language {language!r}.{suggest(language, known)} "
            f"It takes a code such as en, de, fr or es, and xx for none of its {len(known)} languages"
        ) from error
