"""What models run on: the rule, the replaced forward pass, converted models kept on disk."""
