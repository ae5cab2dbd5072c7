"""The yard: small scripts that `make` runs over the house. None of them is part of the product."""
