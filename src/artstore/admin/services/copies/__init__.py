"""Files on more than one element: what is wanted, what is there, and the way between."""
