"""The version of this package; the library it drives has its own, `layerwise.version()`."""

VERSION = "0.1.0"
