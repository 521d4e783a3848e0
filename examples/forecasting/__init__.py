"""Forecasts of monthly car sales: with attention, without, and seasonal naive."""
