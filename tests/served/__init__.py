"""A site that serves the files of one storage; `tests.servers.sites` runs it."""
