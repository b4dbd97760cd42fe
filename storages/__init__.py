"""Storage backends for Django; each backend is a module of `storages.backends`."""

__version__ = "2.0.0.dev0"
