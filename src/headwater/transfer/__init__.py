"""Layer 5: folders and contacts in and out of an installation, without HTTP."""
