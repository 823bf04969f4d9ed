"""Files that are whole or absent, read strictly: atomic writing, HDF5, JSON, and names that may become folders."""
