"""Second readings of a shortlist: query and passage together, to one score a passage."""
