"""Other packages' text classifiers and taggers, each in a Python of its own: they need not fit rnntext's versions.

``comparing`` asks, ``serving`` answers in the other Python, ``*_classifier`` is what it runs there; of taggers
``comparing_taggers``, ``serving_tags`` and ``*_tagger``. What runs in the other Python imports nothing of rnntext, so
that environment needs only its package.
"""
