"""The catalogue and the storage elements it follows."""
