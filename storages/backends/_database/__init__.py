"""What the database backend is made of."""
