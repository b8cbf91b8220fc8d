"""Transparency logs: append-only Merkle trees that anybody can check with public keys alone.

Pure library over plain files. Formats and rules are those of C2SP, so that programs which are
not ours read and check what this one writes:

* RFC 6962, section 2.1: how leaves and nodes are hashed, inclusion and consistency proofs;
* c2sp.org/tlog-tiles: the files of a log;
* c2sp.org/signed-note, tlog-checkpoint, tlog-cosignature: who vouches for a tree, and how;
* c2sp.org/tlog-witness: how a log asks a witness; c2sp.org/tlog-proof: a proof in one file.

What an entry means is not known here. Invariants and threat model: docs/design/audit.md.
"""
