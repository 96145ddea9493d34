"""Layer 4: one folder a contract; siblings never import each other. The list of them is in server/registry.py."""
