"""Objects and refs between this repository and another: git's protocols, local paths, bundles."""
