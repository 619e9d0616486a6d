"""How a request travels to an endpoint: limited, paid once, tried again, journalled."""
