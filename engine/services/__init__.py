"""One room for each service of the endpoint: what AWS says, nothing of transport."""
