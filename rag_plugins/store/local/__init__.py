"""A database file searched in memory: what is in memory, and what lies beside the file."""
