"""The encoder keeps the contract, in one layer and in several."""

from rnntext.testing import conformance


@conformance("encoders", "rnntext-indrnn/indrnn", options={"hidden_dim": 8})
def test_one_layer(check):
    check()


@conformance("encoders", "rnntext-indrnn/indrnn", options={"hidden_dim": 8, "num_layers": 2, "zoneout": 0.1})
def test_two_layers(check):
    check()


@conformance(
    "encoders", "rnntext-indrnn/indrnn", options={"hidden_dim": 8, "bidirectional": False, "chunk_tokens": 3}
)
def test_in_pieces(check):
    check()
