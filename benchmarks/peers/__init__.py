"""Other packages' text classifiers, each in a Python of its own: they need not fit rnntext's versions.

``comparing`` asks, ``serving`` answers in the other Python, ``*_classifier`` is what it runs there. These modules
import nothing of rnntext, so the other environment needs only its package.
"""
