"""New samples for scarce classes, made from training rows alone."""
