"""Settings found by measuring, and written where they are read."""
