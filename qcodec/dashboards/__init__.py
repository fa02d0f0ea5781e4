"""W&B workspaces of runs."""
