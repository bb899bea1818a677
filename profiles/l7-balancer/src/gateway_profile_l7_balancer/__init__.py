"""The profile `l7-balancer`; all of it is in profile.toml beside this file."""
