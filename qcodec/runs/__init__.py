"""Run folders: what a fit writes, and reading it."""
