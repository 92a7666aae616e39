"""Tests of an application as README.md shows them; test_captured.py runs them."""
