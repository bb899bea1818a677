"""The upstream side: endpoints, their connection pools, the HTTP/1.1 client, and who picks."""
