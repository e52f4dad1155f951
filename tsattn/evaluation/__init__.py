"""How good a forecast is, and against what."""
