from rnntext.testing import conformance


@conformance("tokenizers", "charsplit")
def test_contract(check):
    check()
