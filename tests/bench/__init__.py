"""Measures speed as ratios to yardsticks of the same run; prints tables, never fails."""
