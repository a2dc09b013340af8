"""Signatures of commits and tags, in git's format, made and checked by ssh-keygen and gpg (docs/signing.md)."""
