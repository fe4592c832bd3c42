"""Other ways to run Python in another process, and the floors below all of them."""
