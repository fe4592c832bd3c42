"""Other ways to have a piece of Python run in another process, and the floors below all of them."""
