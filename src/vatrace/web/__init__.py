"""The local page: a queue of recordings, the server, and what browsers get."""
