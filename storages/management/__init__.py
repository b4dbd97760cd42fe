"""Commands that try and list the storages of a project."""
