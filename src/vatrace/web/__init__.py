"""The local pages: a queue of recordings, the server, and the files that browsers get."""
