"""What the CouchDB backend is made of."""
