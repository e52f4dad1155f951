"""A network that was trained on synthetic series alone and forecasts any series without further training."""
