"""Networks in plain torch: bodies that turn images into features, and heads that score them."""
