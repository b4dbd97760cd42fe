"""What the S3 backend is made of."""
