"""Images of a user's own: from folders and .npz files to arrays."""
