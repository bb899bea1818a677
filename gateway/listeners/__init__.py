"""Where clients come in: HTTP through Granian, later TCP and UDP."""
