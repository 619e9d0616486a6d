"""Handing a finished run over: an experiment folder, and what trackers are sent. Nothing is run here."""
