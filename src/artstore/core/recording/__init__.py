"""What a module does that must be in the audit log, on its way there."""
