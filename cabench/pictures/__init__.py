"""What people look at: maps of both spaces, nearest neighbours, and images that a decoder makes."""
