"""Reading, writing and measuring audio."""
