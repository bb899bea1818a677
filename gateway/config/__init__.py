"""Typed configuration: models, and the loader that turns a profile and a site file into settings."""
