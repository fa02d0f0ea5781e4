"""What watches a run: loggers and callbacks."""
