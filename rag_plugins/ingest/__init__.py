"""Files to pages to passages to vectors to the store."""
