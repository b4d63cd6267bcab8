"""How the weights that the package carries were made: each module makes one file from public data."""
