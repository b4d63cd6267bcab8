"""Text and images to vectors; query and passage to scores."""
