"""Models that read pages by their images: one vector a page, or one a patch."""
