"""One file per paper; a module with a THEORY is a theory, and nothing lists them."""
