"""What a call costs: the bench of the house."""
