"""A photo album whose pictures and static files live in a bucket."""
