"""What a data set is: in memory, on disk, its checks, its builders and sources, its split and its overview."""
