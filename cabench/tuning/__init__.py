"""Choosing settings: an equal number of trials for every method, judged on a part of the training split."""
