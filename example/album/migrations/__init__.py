"""Migrations of the album."""
