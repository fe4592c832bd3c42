"""Transport: the server, its connections, and the way from a request to the service that answers it."""
