"""Text tables of a user's own: from rows of text to arrays of features."""
