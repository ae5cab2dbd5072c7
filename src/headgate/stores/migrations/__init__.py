"""How tables of older versions become those of today: one revision after the other, as alembic reads them."""
