"""Examining an installation and a project: what works, what may surprise, what is broken."""
