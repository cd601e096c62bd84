"""The only code that knows HTTP or HTML; doors call flows."""
