"""Losses by name, weighted without dropping any."""
