"""The tree of RFC 6962: hashes, proofs, growth. Pure computation."""
