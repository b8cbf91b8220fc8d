"""Contents of an element in mode `ar`: how they get into an archive and out of it."""
