"""Which synthetic samples to keep, and why the others are not. Making samples happens elsewhere."""
