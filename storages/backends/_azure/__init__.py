"""What the Azure backend is made of."""
