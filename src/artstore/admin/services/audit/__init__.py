"""What happened here and on the elements becomes entries of the audit log. DESIGN.md says how."""
