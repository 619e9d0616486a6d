"""New samples from language models: the engine that asks, pays once and remembers, and what is asked."""
