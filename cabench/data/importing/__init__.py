"""A user's own background and target: from folders of images, tables of features or NumPy arrays to one HDF5 file."""
