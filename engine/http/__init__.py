"""AWS over HTTP: parsing, checking, rendering, and the services served beside Lambda."""
