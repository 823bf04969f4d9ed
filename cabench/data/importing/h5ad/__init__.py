"""Single cells in AnnData's .h5ad files, read through h5py alone."""
