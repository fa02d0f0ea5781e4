"""Quantizers and gradient estimators under one interface."""
