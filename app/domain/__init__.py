"""The words of the field and the rules that need no driver: standard library only."""
