"""Predictions as files: tables, pictures, reports and films."""
