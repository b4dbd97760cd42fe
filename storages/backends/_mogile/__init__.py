"""What `storages.backends.mogile` is made of."""
