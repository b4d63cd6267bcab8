"""The main job on documents of our own: example pages in, five questions, a report that shows every step."""
