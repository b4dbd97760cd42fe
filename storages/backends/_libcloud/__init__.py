"""What the Libcloud backend is made of."""
