"""The metrics. To add one, write it in the file of its family and score it in `probe_scores` or `shape_scores`."""
