"""Requests of the prediction service on one loaded model."""
