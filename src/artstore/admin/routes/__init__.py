"""HTTP face of the admin module. Translation only; decisions are in `services`."""
