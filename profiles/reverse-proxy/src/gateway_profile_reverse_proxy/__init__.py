"""The profile `reverse-proxy`; all of it is in profile.toml beside this file."""
