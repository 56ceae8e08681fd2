"""Chinese for rnntext: words by jieba's dictionary, and two sets of labelled Chinese text that pip brings."""
