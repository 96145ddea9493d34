"""The way in: the ASGI application, the router, sockets and metrics."""
