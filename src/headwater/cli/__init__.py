"""Layer 6: the command line; every sub-command is one module, loaded when it is called."""
