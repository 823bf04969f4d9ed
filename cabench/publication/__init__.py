"""Results that others can repeat: one archive of all that tables are made from, and the check of what others send."""
