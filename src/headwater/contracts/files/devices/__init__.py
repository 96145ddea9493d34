"""Devices, their preferences, how far each has got, and their socket."""
