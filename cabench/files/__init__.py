"""Safe files: atomic writing, strict reading of HDF5 and JSON, and names that may become folders."""
