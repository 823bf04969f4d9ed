"""Evaluation: linear probes on both spaces, scored on the test split against chance and ideal."""
