"""Lightning modules that train a codec."""
