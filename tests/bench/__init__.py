"""Measures speed as ratios to yardsticks of the same run; prints tables with a verdict on each row."""
