"""The chat as a web page: a small server on this machine, and the page's own files beside it."""
