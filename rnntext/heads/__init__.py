"""Heads: what is to be learnt from encoded texts. A head owns its targets, loss, metrics and answers."""
