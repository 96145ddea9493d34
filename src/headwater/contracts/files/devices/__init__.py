"""Devices, their preferences, their positions, and their socket."""
