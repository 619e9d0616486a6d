"""How good synthetic samples are, whoever made them: producers side by side, by published measures."""
