"""What leaves the audit log for other people's eyes, and how they check it: exports of many
records, and the proof bundle of one document. Formats: docs/formats/audit-export.md and
docs/formats/proof-bundle.md. Synchronous; knows no database and no network.
"""
