"""The only code that knows SQL; it takes and returns model values."""
