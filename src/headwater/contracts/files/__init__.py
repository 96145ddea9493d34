"""The files contract, ``/api/v1/sync``: shares of files and folders, kept alike on every device."""
