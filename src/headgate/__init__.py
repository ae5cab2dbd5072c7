"""One gate that every model call passes."""
