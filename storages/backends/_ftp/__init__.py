"""What the FTP backend is made of."""
