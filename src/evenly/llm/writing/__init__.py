"""What is asked for new samples, and what is taken of the answers."""
