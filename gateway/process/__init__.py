"""The processes of a running gateway: one supervisor, N workers, and the bus between them."""
