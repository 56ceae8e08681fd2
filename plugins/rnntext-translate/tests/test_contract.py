"""What rnntext asks of every dataset and every head."""

from pathlib import Path

from rnntext.contracts import Example
from rnntext.testing import conformance

TOY = Path(__file__).parent.parent / "recipes" / "data" / "toy.tsv"
EXAMPLES = [
    Example(source, label=target, origin=source)
    for source, target in (line.split("\t") for line in TOY.read_text(encoding="utf-8").splitlines()[:16])
]


@conformance("datasets", "pairs", options={"train": TOY})
def test_contract_of_pairs(check):
    check()


@conformance("heads", "translation", options={"embedding_dim": 12, "hidden_dim": 12}, examples=EXAMPLES)
def test_contract_of_translation(check):
    check()
