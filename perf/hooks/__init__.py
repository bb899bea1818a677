"""Plugins that scenarios load as local files."""
