"""Machine translation for rnntext: the dataset ``pairs`` and the head ``translation``."""
