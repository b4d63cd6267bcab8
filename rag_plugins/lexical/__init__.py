"""What a collection knows of its terms: recall rules, term dictionary, postings, statistics."""
