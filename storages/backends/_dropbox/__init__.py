"""What the Dropbox backend is made of."""
