"""Both parts keep the contract."""

from rnntext.testing import conformance


@conformance("tokenizers", "rnntext-subword/subword", options={"vocab_size": 100})
def test_bpe(check):
    check()


@conformance("tokenizers", "rnntext-subword/subword", options={"model": "unigram", "ignore_case": False})
def test_unigram(check):
    check()


@conformance("vocabularies", "rnntext-subword/subword")
def test_vocabulary(check):
    check()
