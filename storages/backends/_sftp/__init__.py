"""What the SFTP backend is made of."""
