"""The entry of requests: the ASGI application, the router, sockets and metrics."""
