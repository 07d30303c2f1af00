"""fetchd."""
