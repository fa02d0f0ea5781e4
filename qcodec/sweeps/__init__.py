"""Searches over the settings of a recipe, by Optuna."""
