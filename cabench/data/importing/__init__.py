"""A user's own background and target: folders of images, tables of features or NumPy arrays, made one HDF5 file."""
